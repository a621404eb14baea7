import numpy as np
import pytest

from omnifuse.data.npy import npy_header, read_npy
from omnifuse.errors import InputError

INT16 = np.dtype(np.int16)


@pytest.fixture
def file(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    return tmp_path / "a.npy"


def test_an_array_is_what_was_saved(file):
    assert npy_header(file) == ((2, 3, 4), INT16)
    assert np.array_equal(read_npy(file, INT16, (None, 3, 4), "t y x"), np.load(file))
    np.save(file, np.asfortranarray(np.load(file)))
    assert np.array_equal(read_npy(file, INT16, (None, 3, 4), "t y x"), np.arange(24).reshape(2, 3, 4))


@pytest.mark.parametrize("bytes_left", [0, 3, 60, 127, 128, 175])
def test_a_file_cut_short_is_named(file, bytes_left):
    file.write_bytes(file.read_bytes()[:bytes_left])
    with pytest.raises(InputError, match=rf"{file}: .*Try:"):
        npy_header(file)


def test_a_file_that_is_too_long_is_named(file):
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(InputError, match="too long, 177 bytes where int16 of"):
        npy_header(file)


def test_a_flipped_bit_in_the_header_is_an_error_or_another_header_never_another_exception(file):
    held = file.read_bytes()
    for position in range(80):  # spaces follow
        for bit in (position % 7, (position + 3) % 7):
            file.write_bytes(held[:position] + bytes([held[position] ^ 1 << bit]) + held[position + 1 :])
            try:
                shape, dtype = npy_header(file)
            except InputError as error:
                assert str(file) in str(error)
            else:
                assert np.prod(shape) * dtype.itemsize == 48


def test_wrong_shape_type_and_objects_are_refused(file, tmp_path):
    with pytest.raises(InputError, match=r"shape \(2, 3, 4\), expected \(any, 5, 4\): t y x"):
        read_npy(file, INT16, (None, 5, 4), "t y x")
    with pytest.raises(InputError, match="values are int16, expected float16"):
        read_npy(file, np.dtype(np.float16), (None, 3, 4), "t y x")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(InputError, match="Python objects"):
        npy_header(tmp_path / "objects.npy")
    with pytest.raises(InputError, match="no such file"):
        npy_header(tmp_path / "none.npy")
