import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { ApiError } from "./api/client";
import { router } from "./app";
import { applyTheme } from "./lib/theme";
import { noteError } from "./signin";
import "./theme.css";

/** How often a server that answers with an error of its own is asked again. */
const TRIES = 3;

applyTheme();

const queries = new QueryClient({
  queryCache: new QueryCache({ onError: noteError }),
  mutationCache: new MutationCache({ onError: noteError }),
  defaultOptions: {
    queries: {
      // Changes come by the event stream; this is only for what the stream cannot say.
      staleTime: 30_000,
      // While the server is away what is on the screen stays, and the head of the page says so. What it answers is another matter.
      retry: (tries, error) => error instanceof ApiError && (error.isUnreachable || (tries < TRIES && error.problem.status >= 500)),
      retryDelay: (tries) => Math.min(1_000, 100 * 2 ** tries),
    },
  },
});

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);
