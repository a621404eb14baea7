"""CRC-32C over runs of zeros without looking at them: a shift by n bytes is a multiplication by x^8n (GF(2), Castagnoli's polynomial).

The method is that of `crc32_combine` of zlib (Mark Adler); bits are reflected, as in the check sum itself.
"""

from functools import lru_cache

_POLYNOMIAL = 0x82F63B78
_ONE = 1 << 31
_ALL = 0xFFFFFFFF


def extend_zeros(crc: int, num_bytes: int) -> int:
    """Return the CRC-32C of data whose CRC-32C is `crc`, followed by `num_bytes` zeros; takes microseconds."""
    return _multiply(_shift(num_bytes), crc ^ _ALL) ^ _ALL


@lru_cache(maxsize=1024)  # places have few lengths
def _shift(num_bytes: int) -> int:
    """Return x^(8·num_bytes) modulo the polynomial."""
    power, square, exponent = _ONE, _ONE >> 8, num_bytes
    while exponent:
        if exponent & 1:
            power = _multiply(square, power)
        square = _multiply(square, square)
        exponent >>= 1
    return power


def _multiply(a: int, b: int) -> int:
    product, bit = 0, _ONE
    while bit:
        if a & bit:
            product ^= b
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
        bit >>= 1
    return product
