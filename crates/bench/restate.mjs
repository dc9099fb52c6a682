// The workloads as a service of Restate, for `bench --peer restate=FOLDER`.
if (!Promise.withResolvers) {
  // Node before 22.
  Promise.withResolvers = function () {
    const made = {};
    made.promise = new this((resolve, reject) => Object.assign(made, { resolve, reject }));
    return made;
  };
}
const restate = await import("@restatedev/restate-sdk");
const http2 = await import("node:http2");

const fib = (n) => {
  let [a, b] = [0, 1];
  for (let i = 0; i < n; i++) [a, b] = [b, a + b];
  return a;
};

const bench = restate.service({
  name: "bench",
  handlers: {
    chain: async (context, steps) => {
      let last = 0;
      for (let step = 0; step < steps; step++) last = await context.run(`s${step}`, () => fib(10));
      return last;
    },
    fan: async (context, steps) => {
      const all = Array.from({ length: steps }, (_, step) => context.run(`s${step}`, () => step));
      return (await restate.RestatePromise.all(all)).length;
    },
  },
});

http2.createServer(restate.createEndpointHandler({ services: [bench] })).listen(19080, "127.0.0.1");
