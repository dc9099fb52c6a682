// A worker that finishes so many actions a second: for runs that change while somebody watches.

const BEAT_MS = 20;
/** Reports of one request. */
const REPORTS_MAX = 500;

/** Serves a connector until it is stopped: `rate` actions a second, and no more in all than it is allowed to. An action gives its input. */
export function worker(server, connector, rate, slots = 1_000) {
  const name = `web-${process.pid}-${Math.round(performance.now() * 1000)}`;
  const held = [];
  let [done, allowed, stopped, broken] = [0, Infinity, false, null];
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
    let [due, last] = [0, performance.now()];
    while (!stopped) {
      await new Promise((wake) => setTimeout(wake, BEAT_MS));
      const now = performance.now();
      due += ((now - last) / 1000) * rate;
      last = now;
      // What could not be done while it had nothing to do, or was not allowed to, is not made up for.
      const wanted = Math.max(0, Math.min(held.length, allowed - done));
      if (wanted < due - rate / 4) due = Math.min(due, wanted + rate / 4);
      const reports = held.splice(0, Math.min(Math.floor(due), wanted, REPORTS_MAX)).map(({ attempt, epoch, input }) => ({ attempt, epoch, output: input, wall_us: 1 }));
      if (reports.length === 0) continue;
      due -= reports.length;
      await server.api("POST", "/workers/report", { worker: name, reports });
      done += reports.length;
    }
  };
  const working = [lease(), report()].map((work) => work.catch((error) => (broken = error)));
  return {
    /** Actions that it has finished; what went wrong with it is thrown. */
    done() {
      if (broken) throw broken;
      return done;
    },
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
