"""MP3 to mel-image record: at least 5 times as fast as the article's method.

python benchmarks/record_article.py DATA [--clips 60] [--json PATH]
"""

from mel_record import article, measure

if __name__ == "__main__":
    raise SystemExit(measure("record_article", article, "ffmpeg to wav, decode, librosa, float_list", at_least=5))
