import type { Page } from "@playwright/test";
import { expect, open, test, unique } from "./fixtures";
import { MODEL, sampleEvent, type Tollgate } from "./tollgate";

function entries(page: Page) {
  return page.locator("li.entry");
}

async function charge(tollgate: Tollgate, user: string, count: number): Promise<void> {
  const messages = Array.from({ length: count }, () => unique("msg"));
  await Promise.all(
    messages.map((message_id) =>
      tollgate.deliver(sampleEvent({ message_id, user_id: user, model_name: MODEL })),
    ),
  );
}

test("a filtered history is a link, and Back takes the filter away again", async ({
  adminPage: page,
  tollgate,
}) => {
  const user = unique("user");
  await tollgate.addPoints(user, "100");
  await charge(tollgate, user, 1);
  await open(page, `/admin/users?user=${user}`);
  await expect(entries(page)).toHaveCount(2);
  const kind = page.getByLabel("Kind", { exact: true });
  const from = page.getByLabel("From", { exact: true });
  await kind.selectOption("Charge");
  await from.fill("2020-01-31");
  await page.getByRole("button", { name: "Filter" }).click();
  await expect(entries(page)).toHaveCount(1);
  await expect(page).toHaveURL(/kind=charge/);
  const address = page.url();

  await page.goBack();
  await expect(entries(page)).toHaveCount(2);
  await expect(kind).toHaveValue("");
  await expect(from).toHaveValue("");

  await open(page, address);
  await expect(entries(page)).toHaveCount(1);
  await expect(kind).toHaveValue("charge");
  await expect(from).toHaveValue("2020-01-31");
  await page.getByRole("button", { name: "Clear" }).click();
  await expect(entries(page)).toHaveCount(2);
  await expect(page).not.toHaveURL(/kind=|from=/);
});

test("each page of a list is a link, and Back leads to the page before", async ({
  adminPage: page,
  tollgate,
}) => {
  const user = unique("user");
  await charge(tollgate, user, 25);
  await open(page, `/admin/users?user=${user}`);
  const pager = page.getByRole("navigation", { name: "Pages" });
  await expect(pager).toContainText("Page 1");
  await expect(pager.getByRole("button", { name: "Previous page" })).toBeDisabled();
  await pager.getByRole("link", { name: "Next page" }).click();
  await expect(pager).toContainText("Page 2");
  const listed = await entries(page).count();
  const address = page.url();

  await page.goBack();
  await expect(pager).toContainText("Page 1");
  await open(page, address);
  await expect(pager).toContainText("Page 2");
  await expect(entries(page)).toHaveCount(listed);
  await pager.getByRole("link", { name: "Previous page" }).click();
  await expect(pager).toContainText("Page 1");
  await expect(page).not.toHaveURL(/after=/);
});
