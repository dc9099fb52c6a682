import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { ApiError } from "./api/client";
import { router } from "./app";
import { applyTheme } from "./lib/theme";
import { noteError } from "./signin";
import "./theme.css";

applyTheme();

const queries = new QueryClient({
  queryCache: new QueryCache({ onError: noteError }),
  mutationCache: new MutationCache({ onError: noteError }),
  defaultOptions: {
    queries: {
      // Changes come by the event stream; this is only for what the stream cannot say.
      staleTime: 30_000,
      retry: (tries, error) => tries < 3 && error instanceof ApiError && (error.problem.status === 0 || error.problem.status >= 500),
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
