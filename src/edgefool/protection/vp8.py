"""The quality of a lossy WebP picture, estimated from the quantiser in its header.

RFC 6386, 7.3, 9.2 to 9.6, and 19.2; the inverse of libwebp's rule (src/enc/quant_enc.c, ``QualityToCompression``).
"""

DEFAULT_QUALITY = 80
"""Where the header cannot be read."""

_START_CODE = b"\x9d\x01\x2a"
_SEGMENTS = 4
_MAX_QUANTISER = 127


class _Bits:
    """Bits of even probability from a boolean entropy decoder."""

    def __init__(self, data: bytes):
        self._bytes = iter(data[2:])
        self._value, self._range, self._shifted = int.from_bytes(data[:2]), 255, 0

    def flag(self) -> bool:
        split = 1 + ((self._range - 1) * 128 >> 8)
        is_set = self._value >= split << 8
        if is_set:
            self._range -= split
            self._value -= split << 8
        else:
            self._range = split
        while self._range < 128:
            self._value <<= 1
            self._range <<= 1
            self._shifted += 1
            if self._shifted == 8:
                self._shifted = 0
                self._value |= next(self._bytes, 0)
        return is_set

    def number(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = value << 1 | self.flag()
        return value

    def optional(self, bits: int) -> int:
        """Return a number with a sign behind it, 0 where a flag says that there is none."""
        if not self.flag():
            return 0
        value = self.number(bits)
        return -value if self.flag() else value


def estimate_quality(frame: bytes) -> int:
    """Return the quality, 0 to 100, for which libwebp chooses about the quantiser of a key frame.

    Parameters
    ----------
    frame
        The chunk ``VP8``.
    """
    if frame[3:6] != _START_CODE:
        return DEFAULT_QUALITY
    bits = _Bits(frame[10:])
    bits.number(2)  # colour space, clamping
    offsets, is_absolute = [0], False
    if bits.flag():  # segments
        changes_map, changes_data = bits.flag(), bits.flag()
        if changes_data:
            is_absolute = bits.flag()
            offsets = [bits.optional(7) for _ in range(_SEGMENTS)]
            for _ in range(_SEGMENTS):
                bits.optional(6)  # strength of the loop filter
        if changes_map:
            for _ in range(3):
                if bits.flag():
                    bits.number(8)  # probability
    bits.number(1 + 6 + 3)  # loop filter
    if bits.flag() and bits.flag():
        for _ in range(8):
            bits.optional(6)  # its adjustments
    bits.number(2)  # partitions
    base = bits.number(7)
    quantisers = [offset if is_absolute else base + offset for offset in offsets]
    compression = (1 - min(max(sum(quantisers) / len(quantisers), 0), _MAX_QUANTISER) / _MAX_QUANTISER) ** 3
    return round(100 * (compression * 1.5 if compression < 0.5 else (compression + 1) / 2))
