import google_crc32c
import pytest

from omnifuse.data.crc import extend_zeros


@pytest.mark.parametrize("zeros", [0, 1, 2, 3, 7, 8, 255, 256, 4096, 65537, 10_000_003])
@pytest.mark.parametrize("data", [b"", b"\0", b"123456789", bytes(range(256)) * 17])
def test_zeros_are_summed_without_being_read(data, zeros):
    assert extend_zeros(google_crc32c.value(data), zeros) == google_crc32c.value(data + bytes(zeros))


def test_a_long_tail_is_summed_in_pieces_of_any_size():
    crc = google_crc32c.value(b"omnifuse")
    assert extend_zeros(extend_zeros(crc, 2**31 + 5), 2**33 - 7) == extend_zeros(crc, 2**31 + 2**33 - 2)
