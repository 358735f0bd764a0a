// Signs file.txt with sigstore-js: sign.js TOKEN SIGNING_CONFIG messageSignature|dsseEnvelope OUT
const fs = require("fs");
const { bundleBuilderFromSigningConfig } = require("@sigstore/sign");
const { bundleToJSON } = require("@sigstore/bundle");
const { SigningConfig } = require("@sigstore/protobuf-specs");

async function main() {
  const [token, config, bundleType, out] = process.argv.slice(2);
  const signingConfig = SigningConfig.fromJSON(JSON.parse(fs.readFileSync(config)));
  const identityProvider = { getToken: async () => token };
  const builder = bundleBuilderFromSigningConfig({ signingConfig, identityProvider, bundleType });
  const bundle = await builder.create({ data: fs.readFileSync("file.txt"), type: "text/plain" });
  fs.writeFileSync(out, JSON.stringify(bundleToJSON(bundle)));
}

main().catch((error) => { console.error(error, error.cause); process.exit(1); });
