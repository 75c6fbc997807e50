import { expect, open, test } from "./fixtures";

test("the language is switched in place and remembered", async ({ adminPage: page }) => {
  await open(page, "/admin/prices");
  const root = page.locator("html");
  await expect(root).toHaveAttribute("lang", "en");
  await page.evaluate(() => Object.assign(window, { notReloaded: true }));
  await page.getByRole("button", { name: "中文" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("模型管理");
  await expect(root).toHaveAttribute("lang", "zh-CN");
  await expect(page).toHaveTitle(/模型管理/);
  expect(await page.evaluate(() => "notReloaded" in window)).toBe(true);

  await open(page, "/admin/users");
  await expect(root).toHaveAttribute("lang", "zh-CN");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("用户");
  await page.getByRole("button", { name: "English" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Users");
});

test.describe("a browser that asks for Chinese", () => {
  test.use({ locale: "zh-CN" });

  test("gets Chinese", async ({ page }) => {
    await open(page, "/sign-in");
    await expect(page.locator("html")).toHaveAttribute("lang", "zh-CN");
    await expect(page.getByRole("heading", { level: 1 })).not.toHaveText("Sign in");
  });
});

test("the theme is switched in place and remembered", async ({ page }) => {
  const background = () =>
    page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.emulateMedia({ colorScheme: "light" });
  await open(page, "/sign-in");
  const light = await background();
  await page.emulateMedia({ colorScheme: "dark" });
  const dark = await background();
  expect(dark, "without a choice, the device decides").not.toBe(light);

  await page.getByRole("button", { name: /^Theme: as the device/ }).click();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "light");
  expect(await background()).toBe(light);
  await page.getByRole("button", { name: /^Theme: light/ }).click();
  await page.emulateMedia({ colorScheme: "light" });
  expect(await background()).toBe(dark);

  await open(page, "/sign-in");
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  expect(await background()).toBe(dark);
});
