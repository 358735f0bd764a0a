// Verifies file.txt with sigstore-js, trusting a TUF mirror: verify.js BUNDLE MIRROR ROOT EMAIL ISSUER
const fs = require("fs");
const sigstore = require("sigstore");

async function main() {
  const [bundle, tufMirrorURL, tufRootPath, certificateIdentityEmail, certificateIssuer] = process.argv.slice(2);
  const options = { tufMirrorURL, tufRootPath, tufCachePath: "js-cache", certificateIdentityEmail, certificateIssuer };
  const parsed = JSON.parse(fs.readFileSync(bundle));
  const data = parsed.messageSignature ? [fs.readFileSync("file.txt")] : [];
  await sigstore.verify(parsed, ...data, options);
  console.log("verified");
}

main().catch((error) => { console.error(`${error.code}: ${error.message}`, error.cause ?? ""); process.exit(1); });
