// A colour for each genre of a model: hues spread evenly, and lightness alternates for readers who see fewer hues. Names always
// stand beside the colours.
const LIGHTNESS = { light: [0.6, 0.72, 0.5], dark: [0.72, 0.82, 0.62] };

export const dark = matchMedia("(prefers-color-scheme: dark)");

/** @param genres all genres of the model, in its order */
export function colour(genre, genres, alpha = 1) {
  const at = genres.indexOf(genre);
  if (at < 0) return `oklch(0.6 0 0 / ${alpha})`;
  const steps = LIGHTNESS[dark.matches ? "dark" : "light"];
  const hue = (24 + (at * 360) / genres.length) % 360;
  return `oklch(${steps[at % steps.length]} 0.14 ${hue.toFixed(1)} / ${alpha})`;
}

/** Opacity for a probability, never too faint to be seen. */
export function opacity(probability, genres) {
  const chance = 1 / genres.length;
  return 0.22 + 0.78 * Math.min(1, Math.max(0, (probability - chance) / (1 - chance)));
}
