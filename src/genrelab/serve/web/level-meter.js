// The loudness of the microphone over time, so that people see that it works.
const STEP_PX = 4;

/** Draws until the returned function is called. */
export function drawLevel(microphone, canvas) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(microphone).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const levels = [];
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    levels.push(Math.sqrt(samples.reduce((sum, y) => sum + y * y, 0) / samples.length));
    paint(canvas, levels);
  }, reducedMotion ? 500 : 60);
  return () => {
    clearInterval(timer);
    context.close();
  };
}

function paint(canvas, levels) {
  const sharp = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [canvas.clientWidth * sharp, canvas.clientHeight * sharp];
  const pen = canvas.getContext("2d");
  pen.scale(sharp, sharp);
  pen.fillStyle = getComputedStyle(canvas).color;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  levels.splice(0, levels.length - Math.ceil(width / STEP_PX)); // older ones are outside the picture
  levels.forEach((level, i) => {
    // The square root, because loudness is perceived as a ratio: quiet music stays visible.
    const tall = Math.max(2, Math.min(1, 1.6 * Math.sqrt(level)) * height);
    pen.fillRect(width - (levels.length - i) * STEP_PX, (height - tall) / 2, STEP_PX - 2, tall);
  });
}
