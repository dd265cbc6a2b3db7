// Shows openapi.json with Swagger UI. In a file of its own, because the page's security policy allows no inline scripts.
"use strict";

window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0, // the list of schemas is folded
  validatorUrl: null, // no request to another server
});
