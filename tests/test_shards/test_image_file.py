import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from shards import decode_image, read_image, read_label
from shards.image_file import window_to_8_bits

ORIENTATION = 0x0112


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)


def test_an_8_bit_png_keeps_its_pixel_chunks_and_loses_its_text(noise, tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("PatientName", "DOE^JANE")
    text.add_itxt("Comment", "seen at St Elsewhere")
    Image.fromarray(noise).save(tmp_path / "a.png", pnginfo=text)
    Image.fromarray(noise).save(tmp_path / "plain.png")
    image = read_image(tmp_path / "a.png")
    assert image.encoded.content == (tmp_path / "plain.png").read_bytes()
    assert np.array_equal(image.pixels, noise)


def test_what_follows_the_end_of_a_png_is_not_stored(noise, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(noise).save(path)
    plain = path.read_bytes()
    path.write_bytes(plain + b"PatientName=DOE")
    assert read_image(path).encoded.content == plain


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_keeps_its_scans_and_loses_comments_and_exif(noise, tmp_path, mode, options):
    exif = Image.Exif()
    exif[0x010E] = "DOE^JANE"
    path = tmp_path / "a.jpg"
    picture = Image.fromarray(noise).convert(mode)
    picture.save(path, exif=exif, comment=b"DOE^JANE", quality=90, **options)
    path.write_bytes(path.read_bytes() + b"DOE^JANE behind the end")
    image = read_image(path)
    assert b"DOE" in path.read_bytes()
    assert b"DOE" not in image.encoded.content
    assert image.encoded.extension == "jpg"
    stored = decode_image(image.encoded.content, where="a.jpg")
    with Image.open(path) as picture:
        assert np.array_equal(stored, np.asarray(picture))
    assert np.array_equal(stored, image.pixels)


def test_a_turned_photograph_is_stored_upright(noise, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(noise).save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    assert np.array_equal(image.pixels, np.rot90(noise, -1))
    assert np.array_equal(decode_image(image.encoded.content, where=""), image.pixels)


def test_a_turned_picture_of_16_bits_is_stored_upright(noise, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(noise.astype(np.uint16) * 100).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(noise.astype(np.uint16) * 100).save(tmp_path / "plain.png")
    expected = np.rot90(read_image(tmp_path / "plain.png").pixels, -1)
    assert np.array_equal(read_image(tmp_path / "a.png").pixels, expected)


def test_a_picture_with_damaged_tags_is_refused_with_its_name(noise, tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(noise).save(path, exif=b"Exif\0\0no tags at all", dpi=(72, 72))
    with pytest.raises(ValueError, match=r"a.jpg: its EXIF tags are damaged"):
        read_image(path)


def test_a_16_bit_picture_is_windowed_and_the_window_recorded(tmp_path):
    values = np.linspace(1000, 3000, 600).reshape(20, 30).astype(np.uint16)
    values[0, 0] = 65535
    Image.fromarray(values).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    low, high = np.percentile(values, (0.5, 99.5))
    assert image.intensity_window == (low, high)
    expected = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)
    assert np.array_equal(image.pixels, expected)
    assert image.encoded.extension == "png"


def test_values_that_are_not_finite_become_black_and_move_no_window(tmp_path):
    values = np.linspace(0.0, 1.0, 600, dtype=np.float32).reshape(20, 30)
    values[3, 4], values[5, 6] = np.nan, np.inf
    Image.fromarray(values).save(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")
    assert image.pixels[3, 4] == image.pixels[5, 6] == 0
    assert image.intensity_window is not None
    assert image.intensity_window[1] < 1.0


def test_a_picture_of_one_value_becomes_black():
    pixels, window = window_to_8_bits(np.full((8, 8), 7, dtype=np.uint16))
    assert not pixels.any()
    assert window == (7.0, 7.0)


def test_palettes_become_colours_or_greys(noise, tmp_path):
    coloured = Image.fromarray(noise // 64).convert("P")
    coloured.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200, 0, 0, 0])
    coloured.save(tmp_path / "colour.png")
    colour = read_image(tmp_path / "colour.png").pixels
    assert colour.shape == (20, 30, 3)
    assert np.array_equal(colour, np.asarray(coloured.convert("RGB")))
    grey = Image.fromarray(noise // 64).convert("P")
    grey.putpalette([value for value in (0, 80, 160, 240) for _ in range(3)])
    grey.save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png").pixels, noise // 64 * 80)


def test_an_opaque_alpha_is_dropped_and_a_clear_one_lies_on_black(noise, tmp_path):
    layered = np.stack([noise, noise // 2, noise // 3, np.full_like(noise, 255)], axis=-1)
    Image.fromarray(layered).save(tmp_path / "opaque.png")
    assert np.array_equal(read_image(tmp_path / "opaque.png").pixels, layered[..., :3])
    layered[:10, :, 3] = 0
    Image.fromarray(layered).save(tmp_path / "clear.png")
    pixels = read_image(tmp_path / "clear.png").pixels
    assert not pixels[:10].any()
    assert np.array_equal(pixels[10:], layered[10:, :, :3])


def test_a_1_bit_picture_becomes_black_and_white(noise, tmp_path):
    Image.fromarray(noise > 100).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png").pixels, (noise > 100) * 255)


def test_a_picture_of_one_pixel_is_refused(tmp_path):
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(tmp_path / "dot.png")
    with pytest.raises(ValueError, match=r"dot.png: the picture has 1 x 1 pixels.*at least 8"):
        read_image(tmp_path / "dot.png")


def test_a_truncated_picture_is_refused_with_its_name(noise, tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"cut.png: cannot be decoded.*Fetch the file again"):
        read_image(path)


def test_a_text_file_called_png_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("not found")
    with pytest.raises(ValueError, match=r"a.png: cannot be decoded"):
        read_image(tmp_path / "a.png")


def test_a_file_of_several_pictures_is_refused(noise, tmp_path):
    first = Image.fromarray(noise)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[first])
    with pytest.raises(ValueError, match="several pictures; expected one"):
        read_image(tmp_path / "a.tif")


def test_16_bits_with_colour_are_refused_rather_than_cut(tmp_path):
    path = tmp_path / "deep.png"
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 16, 3), np.uint8)).save(buffer, format="PNG")
    path.write_bytes(deepen_png(buffer.getvalue()))
    with pytest.raises(ValueError, match=r"deep.png: a 16-bit picture with colour.*Convert it"):
        read_image(path)


def test_a_tiff_of_16_bits_with_colour_is_refused_too(tmp_path):
    tags = [(256, 8), (257, 8), (258, 122), (259, 1), (262, 2), (273, 128), (277, 3), (278, 8)]
    entries = [struct.pack("<HHII", tag, 3, 3 if tag == 258 else 1, value) for tag, value in tags]
    entries.append(struct.pack("<HHII", 279, 3, 1, 8 * 8 * 6))
    folder = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    bits = struct.pack("<HHH", 16, 16, 16)
    path = tmp_path / "deep.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + folder + bits + bytes(8 * 8 * 6))
    with pytest.raises(ValueError, match=r"deep.tif: a 16-bit picture with colour"):
        read_image(path)


def deepen_png(content):
    """Return a 16-bit colour PNG of 8 x 8 pixels, from the header of an 8-bit one."""

    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(48)) * 8)
    return content[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_masks_of_all_usual_modes_give_their_values(tmp_path, mode):
    mask = np.zeros((10, 12), dtype=np.uint8)
    mask[2:5, 3:7] = 255
    if mode == "P":
        picture = Image.fromarray(mask // 255)
        picture.putpalette([0, 0, 0, 255, 0, 0])
    else:
        picture = Image.fromarray(mask).convert(mode)
    picture.save(tmp_path / "mask.png")
    labels = read_label(tmp_path / "mask.png")
    assert labels.shape == (10, 12)
    assert np.array_equal(labels != 0, mask != 0)


def test_a_colour_picture_is_no_mask(tmp_path):
    colours = np.zeros((10, 12, 3), dtype=np.uint8)
    colours[2:5, 3:7, 1] = 255
    Image.fromarray(colours).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"mask.png: the mask is a colour picture \(RGB\)"):
        read_label(tmp_path / "mask.png")
