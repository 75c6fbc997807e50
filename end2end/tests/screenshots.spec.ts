// `npm run screenshots`: every page in both languages and themes, wide and narrow, to be looked at.
import { test } from "./fixtures";
import { furnish, SHOWN_USER, visit, VISITS } from "./pages";

test.use({ expectedComplaints: [/the server responded with a status of 40[134]/] });

test("screenshots", async ({ browser, tollgate, adminCookies }) => {
  await furnish(tollgate);
  for (const place of VISITS) {
    const context = await browser.newContext({ baseURL: tollgate.url, timezoneId: "Asia/Shanghai" });
    if (place.who === "administrator") await context.addCookies(adminCookies);
    const page = await context.newPage();
    if (place.who === "user") await page.goto(await tollgate.signInLink(SHOWN_USER));
    for (const locale of ["en", "zh"]) {
      for (const theme of ["light", "dark"]) {
        for (const [size, width] of Object.entries({ wide: 1280, narrow: 360 })) {
          await context.addCookies([
            { name: "lang", value: locale, url: tollgate.url },
            { name: "theme", value: theme, url: tollgate.url },
          ]);
          await page.setViewportSize({ width, height: 900 });
          await visit(page, place);
          await page.screenshot({
            path: `screenshots/${place.name}-${locale}-${theme}-${size}.png`,
            fullPage: true,
          });
        }
      }
    }
    await context.close();
  }
});
