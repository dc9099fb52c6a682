// A worker that finishes so many actions a second: for runs that change while somebody watches.

const BEAT_MS = 20;
/** Reports of one request. */
const REPORTS_MAX = 500;

/** Serves a connector until it is stopped: `rate` actions a second, and no more in all than it is allowed to. An action gives its input. */
export function worker(server, connector, rate, slots = 1_000) {
  const name = `web-${process.pid}-${Math.round(performance.now() * 1000)}`;
  const held = [];
  let [began, done, allowed, stopped, broken] = [0, 0, Infinity, false, null];
  const lease = async () => {
    while (!stopped) {
      if (held.length >= slots / 2) await new Promise((wake) => setTimeout(wake, BEAT_MS));
      else {
        const turn = await server.api("POST", "/workers/lease", { worker: name, connectors: [connector], slots: slots - held.length });
        held.push(...turn.leases);
      }
    }
  };
  const report = async () => {
    while (!stopped) {
      await new Promise((wake) => setTimeout(wake, BEAT_MS));
      if (held.length === 0) continue;
      began ||= performance.now();
      const due = Math.min(allowed, Math.floor(((performance.now() - began) / 1000) * rate)) - done;
      const reports = held.splice(0, Math.max(0, Math.min(due, REPORTS_MAX))).map(({ attempt, epoch, input }) => ({ attempt, epoch, output: input, wall_us: 1 }));
      if (reports.length === 0) continue;
      await server.api("POST", "/workers/report", { worker: name, reports });
      done += reports.length;
    }
  };
  const working = [lease(), report()].map((work) => work.catch((error) => (broken = error)));
  return {
    /** Actions that it has finished. */
    done: () => done,
    /** Lets it finish so many in all. */
    allow(count) {
      allowed = count;
    },
    /** Ends it; what went wrong with it is thrown. A request for work that waits is left to end by itself. */
    async stop() {
      stopped = true;
      await working[1];
      if (broken) throw broken;
    },
  };
}
