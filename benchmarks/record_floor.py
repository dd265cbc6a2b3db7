"""MP3 to mel-image record: at most 1.3 times the time of decoding alone; below that only decoding less would help.

python benchmarks/record_floor.py DATA [--clips 60] [--json PATH]
"""

from mel_record import decoding, measure

if __name__ == "__main__":
    raise SystemExit(measure("record_floor", decoding, "decoding alone", at_most=1.3))
