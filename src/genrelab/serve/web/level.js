// How loud it is, drawn as it comes: whoever records sees that the microphone hears.
const STEP_PX = 4;

/** Draws until the returned function is called. */
export function drawLevel(microphone, canvas) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(microphone).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const levels = [];
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    levels.push(Math.sqrt(samples.reduce((sum, y) => sum + y * y, 0) / samples.length));
    paint(canvas, levels);
  }, calm ? 500 : 60);
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
  levels.splice(0, levels.length - Math.ceil(width / STEP_PX)); // what has left the picture
  levels.forEach((level, i) => {
    // A root, because music is loud in proportions: else all but the loudest would be a flat line.
    const tall = Math.max(2, Math.min(1, 1.6 * Math.sqrt(level)) * height);
    pen.fillRect(width - (levels.length - i) * STEP_PX, (height - tall) / 2, STEP_PX - 2, tall);
  });
}
