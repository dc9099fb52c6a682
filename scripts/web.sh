#!/usr/bin/env bash
# The web app: web.sh build puts it into web/dist, from where the next cargo build takes it into the binary; web.sh test runs its unit
# tests; web.sh e2e BINARY runs it in a real browser against that binary. Without Node.js the binary says on its page how to get it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/house.sh"

NODE_MIN=20.19
CHROMIUM="${TUTTI_CHROMIUM:-/usr/bin/chromium}"

has_node() {
    has node && has npm || { say "Node.js and npm are missing: install Node.js $NODE_MIN or newer"; return 1; }
    local version
    version="$(node --version | tr -d v)"
    [ "$(printf '%s\n%s\n' "$NODE_MIN" "$version" | sort -V | head -n 1)" = "$NODE_MIN" ] \
        || { say "Node.js $version is too old: install $NODE_MIN or newer"; return 1; }
}

# The packages that the lock file names, got again only when it changed.
packages() {
    local stamp=node_modules/.tutti-lock
    cmp -s package-lock.json "$stamp" 2>/dev/null && return 0
    say "installing the packages of the web app"
    npm ci --no-audit --no-fund --loglevel=error >"$cache/npm.log" 2>&1 </dev/null \
        || { tail -n 20 "$cache/npm.log" >&2; say "npm ci failed (all of it: $cache/npm.log)"; return 1; }
    cp package-lock.json "$stamp"
}

# Built again only when something of it changed: what is embedded is compiled anew at every build of it.
build() {
    local newest
    newest="$(find src public scripts index.html package-lock.json vite.config.ts -newer dist/index.html -print -quit 2>/dev/null || echo none)"
    [ -f dist/index.html ] && [ -z "$newest" ] && return 0
    npm run --silent build </dev/null >"$cache/web-build.log" 2>&1 || { tail -n 20 "$cache/web-build.log" >&2; return 1; }
    tail -n 1 "$cache/web-build.log" >&2
}

# The types of the API are made from its description: what is in the tree has to be what is made.
types() {
    local fresh="$cache/schema.d.ts"
    npx --no-install openapi-typescript ../docs/reference/openapi.json -o "$fresh" >"$cache/web-types.log" 2>&1 </dev/null \
        || { tail -n 20 "$cache/web-types.log" >&2; return 1; }
    cmp -s "$fresh" src/api/schema.d.ts \
        || { say "web/src/api/schema.d.ts is not what docs/reference/openapi.json says: run \`npm run types\` in web/"; return 1; }
}

cd web
case "${1:-build}" in
    check) has_node ;;
    build) has_node && packages && build ;;
    test) has_node && packages && types && npm run --silent test </dev/null ;;
    e2e)
        has_node && packages && build
        need chromium chromium "the browser of the tests" || exit 1
        TUTTI_BIN="${2:?the binary}" TUTTI_CHROMIUM="$CHROMIUM" node --test --test-reporter=spec e2e/ </dev/null
        ;;
    *) say "web.sh build, test or e2e BINARY"; exit 2 ;;
esac
