import { expect, open, test, unique } from "./fixtures";
import { sampleEvent } from "./tollgate";

test.describe("when the connection is lost", () => {
  test.use({ expectedComplaints: [/net::ERR_/] });

  test("the monitor goes on without gap or repeat", async ({ adminPage: page, tollgate }) => {
    const user = unique("user");
    const deliver = (count: number) => {
      const data = { message_id: unique("msg"), user_id: user, input_tokens: count, total_tokens: undefined };
      return tollgate.deliver(sampleEvent(data));
    };
    // Newest first; each delivery is recognised by its input tokens.
    const listed = () =>
      page
        .getByRole("row")
        .filter({ hasText: user })
        .getByRole("cell")
        .filter({ hasText: / \/ 800$/ })
        .allTextContents();
    const rows = (counts: number[]) => counts.map((count) => `${count} / 800`);

    await open(page, "/admin");
    const connection = page.getByTestId("connection");
    await expect(connection).toHaveText("Live");
    await deliver(1);
    await expect.poll(listed).toEqual(rows([1]));

    // The server restarts. The browser is kept away meanwhile, so that it misses what comes then.
    await page.route("**/api/admin/live*", (route) => route.abort());
    await tollgate.stopServer();
    await expect(connection).toHaveText("Connection lost, reconnecting…");
    await tollgate.startServer();
    await deliver(2);
    await deliver(3);
    expect(await listed()).toEqual(rows([1]));

    await page.unroute("**/api/admin/live*");
    await expect(connection).toHaveText("Live", { timeout: 20_000 });
    await expect.poll(listed).toEqual(rows([3, 2, 1]));
    await deliver(4);
    await expect.poll(listed).toEqual(rows([4, 3, 2, 1]));
  });
});

test("a paused monitor counts what comes, and shows it when it goes on", async ({
  adminPage: page,
  tollgate,
}) => {
  const user = unique("user");
  await open(page, "/admin");
  await expect(page.getByTestId("connection")).toHaveText("Live");
  await page.getByRole("button", { name: "Pause" }).click();
  for (const message_id of [unique("msg"), unique("msg")]) {
    await tollgate.deliver(sampleEvent({ message_id, user_id: user }));
  }
  await expect(page.getByTestId("connection")).toHaveText("Paused, 2 new");
  const rows = page.getByRole("row").filter({ hasText: user });
  await expect(rows).toHaveCount(0);
  await page.getByRole("button", { name: "Resume" }).click();
  await expect(rows).toHaveCount(2);
});

test("many deliveries at once all arrive, once each", async ({ adminPage: page, tollgate }) => {
  const user = unique("user");
  await open(page, "/admin");
  await expect(page.getByTestId("connection")).toHaveText("Live");
  const messages = Array.from({ length: 60 }, () => unique("msg"));
  await Promise.all(
    messages.map((message_id) => tollgate.deliver(sampleEvent({ message_id, user_id: user }))),
  );
  await expect(page.getByRole("row").filter({ hasText: user })).toHaveCount(messages.length);
  expect(await tollgate.balance(user)).toBe(-93 * messages.length);
});
