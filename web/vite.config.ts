import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The server to talk to while developing; `npm run dev` proxies to it.
const server = process.env.TUTTI_SERVER ?? "http://127.0.0.1:7200";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  build: {
    // Everything is a file of its own with a hashed name: the content security policy allows nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  test: { include: ["test/**/*.test.ts"] },
  server: {
    proxy: { "/api": server, "/healthz": server, "/metrics": server },
  },
});
