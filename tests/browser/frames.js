/**
 * Records the times between animation frames, and tasks of more than 50 ms, until `stop` is called.
 *
 * The file is one function expression, which Playwright calls in the page.
 */

async () => {
  const intervalsMs = [];
  const longTasksMs = [];
  const note = (entries) => longTasksMs.push(...entries.map(({ duration }) => duration));
  const observer = new PerformanceObserver((list) => note(list.getEntries()));
  const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

  let lastMs = await nextFrame();
  const draw = (nowMs) => {
    intervalsMs.push(nowMs - lastMs);
    lastMs = nowMs;
    frame = requestAnimationFrame(draw);
  };
  let frame = requestAnimationFrame(draw);
  observer.observe({ type: 'longtask' });

  return {
    async stop() {
      await nextFrame(); // ends the last interval
      await new Promise((resolve) => setTimeout(resolve)); // a long task is reported after its end
      cancelAnimationFrame(frame);
      note(observer.takeRecords());
      observer.disconnect();
      return { intervalsMs, longTasksMs };
    },
  };
};
