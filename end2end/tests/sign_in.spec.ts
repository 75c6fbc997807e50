import { expect, hydrated, open, submitSignIn, test, unique } from "./fixtures";
import { ADMINISTRATOR } from "./tollgate";

const ADMIN_PATHS = [
  "/admin",
  "/admin/prices",
  "/admin/prices/rerate",
  "/admin/calculator",
  "/admin/users",
  "/admin/quarantine",
  "/admin/sources",
];

test("an administrator signs in and out", async ({ page }) => {
  await open(page, "/");
  await expect(page).toHaveURL(/\/sign-in$/);
  await submitSignIn(page, ADMINISTRATOR.password);
  await expect(page.getByRole("heading", { name: "Live monitor" })).toBeVisible();
  const cookie = (await page.context().cookies()).find(({ name }) => name === "tollgate_session");
  expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Lax", path: "/" });
  expect(await page.evaluate(() => document.cookie)).not.toContain("tollgate_session");

  await hydrated(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByLabel("Password")).toBeVisible();
  await open(page, "/admin/users");
  await expect(page.getByLabel("Password")).toBeVisible();
});

test.describe("refusals", () => {
  // A browser reports an answer with an error status as an error of the page.
  test.use({ expectedComplaints: [/the server responded with a status of 40[13]/] });

  test("a wrong password is refused and says so", async ({ page }) => {
    await open(page, "/sign-in");
    await submitSignIn(page, "not the password at all");
    await expect(page.getByRole("alert")).toContainText("The name or the password is wrong.");
    await expect(page).toHaveURL(/\/sign-in/);
    expect(await page.context().cookies()).not.toContainEqual(
      expect.objectContaining({ name: "tollgate_session" }),
    );
  });

  test("whoever has not signed in sees none of the administrator's pages", async ({
    page,
    tollgate,
  }) => {
    const user = unique("hidden");
    await tollgate.addPoints(user, "12345");
    for (const path of [...ADMIN_PATHS, `/admin/users?user=${user}`]) {
      await open(page, path);
      await expect(page.getByLabel("Password"), path).toBeVisible();
      expect(await page.content(), path).not.toContain("12,345");
    }
    const live = await page.request.get("/api/admin/live");
    expect(live.status()).toBe(401);
  });

  test("signing in leads back to the page that asked for it", async ({ page }) => {
    await open(page, "/admin/prices");
    await submitSignIn(page, ADMINISTRATOR.password);
    await expect(page.getByRole("heading", { name: "Models", exact: true })).toBeVisible();
    await expect(page).toHaveURL(/\/admin\/prices$/);
  });

  test("a user sees their own page and none of the administrator's", async ({ page, tollgate }) => {
    const user = unique("user");
    await page.goto(await tollgate.signInLink(user));
    await expect(page).toHaveURL(/\/my$/);
    await hydrated(page);
    await expect(page.getByRole("banner")).toContainText(user);
    for (const path of ADMIN_PATHS) {
      await open(page, path);
      await expect(page.getByRole("heading", { level: 1 }), path).toHaveText(
        "This page is not for this account",
      );
    }
    expect((await page.request.get("/api/admin/live")).status()).toBe(403);
  });

  test("an invented link signs nobody in", async ({ page }) => {
    await open(page, "/enter?token=invented");
    await expect(page.getByLabel("Password")).toBeVisible();
    await open(page, "/my");
    await expect(page.getByLabel("Password")).toBeVisible();
  });
});

test("without scripts, the form still signs in", async ({ browser, tollgate }) => {
  const context = await browser.newContext({
    baseURL: tollgate.url,
    javaScriptEnabled: false,
    locale: "en-GB",
  });
  const page = await context.newPage();
  await page.goto("/sign-in");
  await submitSignIn(page, ADMINISTRATOR.password);
  await expect(page.getByRole("heading", { name: "Live monitor" })).toBeVisible();
  await context.close();
});
