"""MP3 to mel-image record: at least twice as fast as librosa.load, melspectrogram and a list of floats.

python benchmarks/record_librosa.py DATA [--clips 60] [--json PATH]
"""

from mel_record import measure, with_librosa

if __name__ == "__main__":
    raise SystemExit(measure("record_librosa", with_librosa, "librosa.load, melspectrogram, float_list", at_least=2))
