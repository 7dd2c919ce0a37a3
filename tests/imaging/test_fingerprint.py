"""The encoder fingerprint: stable, sensitive to what reaches the encoder, and quick."""

from __future__ import annotations

import io
import subprocess
import sys

import msgspec
import PIL
import pytest
from PIL import Image

from packer.imaging import fingerprint
from packer.imaging.fingerprint import encoder_fingerprint
from packer.imaging.values import EncoderFingerprint
from packer.specs import Fit
from tests.imaging.images import image_spec


def test_the_same_twice_and_in_another_process():
    program = (
        "from packer.imaging.fingerprint import encoder_fingerprint\n"
        "from packer.options import PackOptions\n"
        "print(encoder_fingerprint(PackOptions(source='a', dest='b').image_spec()).sha256)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    spec = image_spec(256)
    first = encoder_fingerprint(spec)

    assert first == encoder_fingerprint(spec)
    assert first.sha256 == done.stdout.strip()
    assert len(first.sha256) == 64


def test_versions_are_named():
    found = encoder_fingerprint(image_spec())

    assert found.pillow == PIL.__version__
    assert all((found.libjpeg_turbo, found.simplejpeg, found.resizer, found.machine))


def test_it_differs_with_what_pillow_decodes():
    """Of one version of Pillow there are builds with and without some libraries, which reject other files."""
    program = (
        "import sys\n"
        "sys.modules['PIL._webp'] = None  # as in a Pillow that was built without it\n"
        "import msgspec\n"
        "from packer.imaging.fingerprint import encoder_fingerprint\n"
        "from packer.options import PackOptions\n"
        "fingerprint = encoder_fingerprint(PackOptions(source='a', dest='b').image_spec())\n"
        "print(msgspec.json.encode(fingerprint).decode())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found = msgspec.json.decode(done.stdout, type=EncoderFingerprint)
    full = encoder_fingerprint(image_spec(256))

    assert {"jpg", "webp", "zlib"} <= set(full.decoders)
    assert set(full.decoders) - set(found.decoders) == {"webp"}
    assert found.sha256 != full.sha256
    assert found == msgspec.structs.replace(full, sha256=found.sha256, decoders=found.decoders)


def test_it_differs_with_quality_and_fit_but_not_with_limits():
    base = encoder_fingerprint(image_spec()).sha256

    assert encoder_fingerprint(image_spec(quality=94)).sha256 != base
    assert encoder_fingerprint(image_spec(fit=Fit.CONTAIN)).sha256 != base
    assert encoder_fingerprint(image_spec(max_pixels=1)).sha256 == base


def test_another_resizer_is_noticed(monkeypatch):
    """A library that gives other pixels, here by one level in one of the images."""
    base = encoder_fingerprint(image_spec()).sha256
    original = fingerprint.transform_image
    seen = []

    def altered(data, spec):
        seen.append(data)
        return original(data, msgspec.structs.replace(spec, quality=spec.quality - (len(seen) == 3)))

    monkeypatch.setattr(fingerprint, "transform_image", altered)

    assert encoder_fingerprint(image_spec()).sha256 != base


def test_it_survives_json():
    found = encoder_fingerprint(image_spec())

    assert msgspec.json.decode(msgspec.json.encode(found), type=EncoderFingerprint) == found


def test_it_cannot_be_changed():
    with pytest.raises(AttributeError):
        encoder_fingerprint(image_spec()).sha256 = ""


def test_the_built_in_images_are_the_same_at_any_time():
    """Files that are kept as they are count whole, colour profile included."""
    profiles = [Image.open(io.BytesIO(source)).info.get("icc_profile", b"") for source in fingerprint._sources()]
    dated = [profile for profile in profiles if profile]

    assert len(dated) == 1
    assert dated[0][24:36] == bytes(12)
