import type { Page } from "@playwright/test";
import { expect, hydrated, open, test, unique } from "./fixtures";
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
  await expect(page).not.toHaveURL(/before=/);
});

test("an open receipt is in the address: a reload keeps it, and Back closes it", async ({
  adminPage: page,
  tollgate,
}) => {
  const user = unique("user");
  await charge(tollgate, user, 25);
  await open(page, `/admin/users?user=${user}`);
  const receipt = (number: number) =>
    entries(page).filter({ hasText: `Entry ${number}Receipt` }).locator("details");
  await receipt(25).locator("summary").click();
  await expect(page).toHaveURL(/open=25$/);
  await receipt(23).locator("summary").click();
  await expect(page).toHaveURL(/open=25&open=23$/);

  await page.reload();
  await hydrated(page);
  await expect(receipt(25)).toHaveAttribute("open");
  await expect(receipt(23)).toHaveAttribute("open");
  await expect(receipt(24)).not.toHaveAttribute("open");
  await page.goBack();
  await expect(receipt(23)).not.toHaveAttribute("open");
  await expect(receipt(25)).toHaveAttribute("open");
  await receipt(25).locator("summary").click();
  await expect(page).not.toHaveURL(/open=/);
  await expect(receipt(25)).not.toHaveAttribute("open");

  // What is open on one page of the list is not on another.
  await receipt(25).locator("summary").click();
  await expect(page).toHaveURL(/open=25$/);
  await page.getByRole("link", { name: "Next page" }).click();
  await expect(page).toHaveURL(/before=/);
  await expect(page).not.toHaveURL(/open=/);
  await page.goBack();
  await expect(receipt(25)).toHaveAttribute("open");
});

test("a user's own receipt is a link too", async ({ page, tollgate }) => {
  const user = unique("user");
  await charge(tollgate, user, 1);
  await page.goto(await tollgate.signInLink(user));
  await hydrated(page);
  await entries(page).locator("summary").click();
  await expect(page).toHaveURL(/\/my\?open=1$/);
  await open(page, page.url());
  await expect(page.getByText("ledger took exactly that")).toBeVisible();
});

test("an open message keeps the list it was opened from", async ({ adminPage: page, tollgate }) => {
  const user = unique("user");
  const message_id = unique("msg");
  await tollgate.deliver(sampleEvent({ message_id, user_id: user, total_tokens: 9 }));
  await open(page, "/admin/quarantine?reason=contradictory_tokens");
  const row = page.getByRole("row").filter({ hasText: user });
  await row.getByRole("link", { name: /^Open / }).click();
  const title = page.getByRole("heading", { level: 1 });
  await expect(title).toHaveText("A message that waits");
  await expect(page).toHaveURL(/reason=contradictory(_|%5F)tokens&id=/);
  await page.reload();
  // Before the page is taken over nobody hears that the address changes.
  await expect(page.locator("html[data-hydrated]")).toBeAttached();
  await expect(title).toHaveText("A message that waits");
  await page.goBack();
  await expect(title).toHaveText("Quarantine");
  await expect(page).toHaveURL(/reason=contradictory(_|%5F)tokens$/);

  await page.goForward();
  await page.getByRole("link", { name: "All messages that wait" }).click();
  await expect(title).toHaveText("Quarantine");
  await expect(page.getByLabel("What is wrong")).toHaveValue("contradictory_tokens");
  await row.getByRole("link", { name: /^Open / }).click();
  await page.getByRole("button", { name: "Charge as reported" }).click();
  await expect(page).toHaveURL(/reason=contradictory(_|%5F)tokens$/);
});

test("an open account keeps the search that found it", async ({ adminPage: page, tollgate }) => {
  const user = unique("user");
  await charge(tollgate, user, 1);
  await open(page, `/admin/users?q=${user}`);
  await page.getByRole("link", { name: `Open ${user}` }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(user);
  await entries(page).locator("summary").click();
  await expect(page).toHaveURL(/q=.*&user=.*&open=1$/);
  await page.getByRole("link", { name: "All users" }).click();
  await expect(page.getByLabel("Search by user id")).toHaveValue(user);
  await expect(page).not.toHaveURL(/user=|open=/);
});
