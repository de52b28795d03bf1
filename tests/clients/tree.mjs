// Bentley's own published WSG client reads the folders and documents.
import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
const { AccessToken, AuthorizedClientRequestContext, ECJsonTypeMap, WsgClient, WsgInstance } =
  require("@bentley/itwin-client");

class Folder extends WsgInstance {}
class Document extends WsgInstance {}
for (const [type, name] of [[Folder, "Project"], [Document, "Document"]]) {
  ECJsonTypeMap.propertyToJson("wsg", "properties.Name")(type.prototype, "name");
  ECJsonTypeMap.propertyToJson("wsg", "properties.ParentGuid")(type.prototype, "parent");
  ECJsonTypeMap.classToJson("wsg", `PW_WSG.${name}`,
    { schemaPropertyName: "schemaName", classPropertyName: "className" })(type);
}

class Gateway extends WsgClient {
  constructor(wsg) { super("v2.8"); this.baseUrl = wsg; }
  getUrlSearchKey() { return "ProjectWise"; }
}

// This client never opts in to server paging by itself: the header `SkipToken: 0` (fact sheet 1.7) is given to it.
export async function read(wsg, repository, accessToken, pageSize) {
  const gateway = new Gateway(wsg);
  const list = (type, name) => gateway.getInstances(
    new AuthorizedClientRequestContext(new AccessToken(accessToken)), type,
    `/Repositories/${repository}/PW_WSG/${name}`,
    { $select: "*", $pageSize: pageSize }, { headers: { skiptoken: "0" } });
  return { folders: await list(Folder, "Project"), documents: await list(Document, "Document") };
}
