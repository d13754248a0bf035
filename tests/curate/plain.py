"""Plain slow loops that the tests compare with."""

import hashlib
import math

MARKS = (",", ".", ";", ":", "?", "!", "`")


def plain_spaced(text):
    text = f" {text} "
    for mark in MARKS:
        text = text.replace(mark, f" {mark} ")
    return text.replace("\t", " ").replace("\n", " ").replace("\r", " ")


def plain_matches(texts, entries):
    """Text -> numbers of the entries that it contains, one `in` per pair."""
    padded = [f" {entry} " for entry in entries]
    return [[number for number, entry in enumerate(padded) if entry in plain_spaced(text)] for text in texts]


def plain_mix(value):
    mask = 2**64 - 1
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)


def plain_hash(name):
    return int.from_bytes(hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


def plain_draw(name, entry, seed):
    mask = 2**64 - 1
    start = plain_mix((seed + 0x9E3779B97F4A7C15) & mask)
    return (plain_mix((plain_mix(plain_hash(name) ^ start) + plain_hash(entry)) & mask) >> 11) * 2.0**-53


def plain_balance(texts, entries, per_entry, seed=0, keys=None):
    """(kept, probability that each is kept) of `balance`, text by text and entry by entry."""
    found = plain_matches(texts, entries)
    counts = [sum(number in row for row in found) for number in range(len(entries))]
    kept, chances, seen = [], [], {}
    for text, key, row in zip(texts, keys or [""] * len(texts), found, strict=True):
        times = seen.get((key, text), 0)
        seen[key, text] = times + 1
        keep, miss = False, 1.0
        for number in row:
            probability = 1.0 if math.isinf(per_entry) else per_entry / max(counts[number], per_entry)
            miss *= 1 - probability
            keep |= plain_draw(f"{key}\0{text}\0{times}", entries[number], seed) < probability
        kept.append(keep)
        chances.append(1 - miss)
    return kept, chances
