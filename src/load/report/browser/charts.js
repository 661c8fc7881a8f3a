/** @param {number} x */
function f(x) { return document.querySelector("x") + x.length; }
f(1);
