// Updates with tuf-js: update.js MIRROR ROOT
const fs = require("fs");
const { Updater } = require("tuf-js");

async function main() {
  const [mirror, root] = process.argv.slice(2);
  fs.mkdirSync("tuf-js", { recursive: true });
  if (!fs.existsSync("tuf-js/root.json")) fs.copyFileSync(root, "tuf-js/root.json");
  const updater = new Updater({
    metadataDir: "tuf-js", metadataBaseUrl: mirror, targetDir: "tuf-js", targetBaseUrl: `${mirror}/targets`,
  });
  await updater.refresh();
  for (const name of ["trusted_root.json", "signing_config.v0.2.json", "rekor.pub"]) {
    const info = await updater.getTargetInfo(name);
    await updater.downloadTarget(info, `tuf-js/${name}`);
    console.log(name, info.length);
  }
}

main().catch((error) => { console.error(error); process.exit(1); });
