import { expect, test } from "vitest";

import { UnderWay } from "../src/api/work";

/** Work that ends when it is told to. */
function held() {
  let end!: () => void;
  let fail!: (error: Error) => void;
  const work = new Promise<void>((done, broken) => ([end, fail] = [done, broken]));
  return { work: () => work, end, fail };
}

test("what is under way is known until it has an end, good or bad", async () => {
  const under = new UnderWay();
  let told = 0;
  const leave = under.watch(() => (told += 1));
  const [one, two] = [held(), held()];
  const first = under.during(false, one.work, 10);
  const second = under.during(false, two.work, 20);
  expect([under.oldest()?.since, told]).toEqual([10, 1]);
  one.end();
  await first;
  expect([under.oldest()?.since, told]).toEqual([20, 2]);
  two.fail(new Error("no"));
  await expect(second).rejects.toThrow("no");
  expect([under.oldest(), told]).toEqual([undefined, 3]);
  leave();
});

test("what changes something goes before what reads", async () => {
  const under = new UnderWay();
  const [reads, writes] = [held(), held()];
  const all = [under.during(false, reads.work, 10), under.during(true, writes.work, 20)];
  expect(under.oldest()).toEqual({ since: 20, writes: true });
  writes.end();
  await all[1];
  expect(under.oldest()).toEqual({ since: 10, writes: false });
  reads.end();
  await all[0];
});
