// Signs in as a person does, in a browser without a screen: browse.js URL EMAIL
const puppeteer = require("puppeteer-core");

async function main() {
  const [url, email] = process.argv.slice(2);
  const browser = await puppeteer.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"],
    userDataDir: "browser",
  });
  const page = await browser.newPage();
  await page.setJavaScriptEnabled(false);
  await page.goto(url);
  await page.type("#other", email);
  await Promise.all([page.waitForNavigation(), page.click("#sign-in")]);
  console.log(page.url(), await page.$eval("body", (body) => body.textContent).catch(() => ""));
  await browser.close();
}

main().catch((error) => { console.error(error); process.exit(1); });
