"""Programs that write a report."""

import flyte
import flyte.report

env = flyte.TaskEnvironment(name="reports")


@env.task(report=True)
async def summary() -> str:
    await flyte.report.replace.aio("<h1 style='color: rgb(1, 2, 3)'>Quarter</h1><script>top.hit = 1</script>")
    flyte.report.get_tab("Details").log("<p>in the second tab</p>")
    await flyte.report.flush.aio()
    return "written"


@env.task
async def silent() -> str:
    return "nothing"
