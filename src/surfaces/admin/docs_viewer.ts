/**
 * The files of Swagger UI, as text inside the executable. Imported when the page is first asked for:
 * 1.9 MB that the start does not touch.
 *
 * @module
 */

import LICENSE from "swagger-ui-dist/LICENSE" with { type: "text" };
import NOTICE from "swagger-ui-dist/NOTICE" with { type: "text" };
import SCRIPT from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "text" };
import SCRIPT_LICENSES from "swagger-ui-dist/swagger-ui-bundle.js.LICENSE.txt" with {
  type: "text",
};
import STYLE from "swagger-ui-dist/swagger-ui.css" with { type: "text" };

export { LICENSE, NOTICE, SCRIPT, SCRIPT_LICENSES, STYLE };
