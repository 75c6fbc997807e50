import { expect, overflow, seriousViolations, test, type Look } from "./fixtures";
import { furnish, SHOWN_USER, visit, VISITS } from "./pages";

const LOOKS: Look[] = [
  { locale: "en", theme: "light", width: 1280 },
  { locale: "zh", theme: "dark", width: 1280 },
  { locale: "zh", theme: "light", width: 360 },
  { locale: "en", theme: "dark", width: 360 },
];

test.describe("every page can be used by everybody", () => {
  // Looking for violations in a long table takes its time.
  test.slow();
  // Pages that refuse come with the status that says so, which the browser reports.
  test.use({ expectedComplaints: [/the server responded with a status of 40[134]/] });

  let isFurnished = false;
  test.beforeEach(async ({ tollgate }) => {
    if (!isFurnished) await furnish(tollgate);
    isFurnished = true;
  });

  for (const place of VISITS) {
    test(place.name, async ({ page, tollgate, adminCookies, setLook }) => {
      if (place.who === "administrator") await page.context().addCookies(adminCookies);
      if (place.who === "user") await page.goto(await tollgate.signInLink(SHOWN_USER));
      for (const look of LOOKS) {
        await test.step(Object.values(look).join(" "), async () => {
          await setLook(look);
          await visit(page, place);
          await expect(page.locator("html")).toHaveAttribute("data-theme", look.theme);
          await expect(page.getByRole("heading", { level: 1 })).toHaveCount(1);
          expect.soft(await seriousViolations(page), "serious violations").toEqual([]);
          expect.soft(await overflow(page), "pixels beyond the right edge").toBe(0);
        });
      }
    });
  }
});

test("the pages can be walked through with the keyboard", async ({ adminPage: page }) => {
  await page.goto("/admin");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the content" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.locator("#content")).toBeFocused();
});
