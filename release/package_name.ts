/**
 * What weir is called where packages are published: `weir` alone belongs to somebody else.
 *
 * @module
 */

/** The package; its kit for tests is imported from `PACKAGE/testing`. */
export const PACKAGE = "@weir-llm/weir";
