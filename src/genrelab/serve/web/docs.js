// The interface as OpenAPI describes it, by Swagger UI. A file of its own, because the policy of the page allows no script inside it.
"use strict";

window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null, // nothing is asked of another server
});
