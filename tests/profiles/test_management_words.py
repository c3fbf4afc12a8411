"""[management]: what it names must be there, and its words are closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.profile import SecretName, SettingName, load_profile

CHILD = """
description = "a make"
inherit = "is15959_part2"

{more}
"""


def faults(folder: Path, more: str) -> str:
    base = Path("firmware_profiles/is15959_part2.toml").read_text(encoding="utf-8")
    (folder / "is15959_part2.toml").write_text(base, encoding="utf-8")
    (folder / "make.toml").write_text(CHILD.format(more=more), encoding="utf-8")
    with pytest.raises(ConfigError) as told:
        load_profile("make", folder)
    return str(told.value.args[0])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('[management]\nassociation = "settings"', "management.association = 'settings'"),
        ('[management.setting.load_limit]\nobject = "load_limit"', "must be one of"),
        ('[management.setting.load_limit]\neffective = "limit"', "setting.load_limit.effective"),
        ('[management.setting.relay]\nobject = "clock"', "relay"),
        ('[management.setting.load_limit]\nwrite_as = "array"', "write_as"),
        ('[management.image_transfer]\nversion = "firmware"', "image_transfer.version"),
        ('[management.secret.guek]\nproven_by = "nobody"', "secret.guek.proven_by"),
        ('[management.secret.guek]\nhow = "method"', "key_id belongs to"),
        ('[management.secret.master]\nhow = "method"\nproven_by = "public"', "master"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_file_and_key(tmp_path, more, told):
    text = faults(tmp_path, more)
    assert "make.toml" in text
    assert told in text


def test_the_base_profile_says_how_everything_is_set():
    management = load_profile("is15959_part2").management
    assert management is not None
    assert set(management.settings) == set(SettingName)
    assert set(management.secrets) == set(SecretName)


def test_a_make_changes_one_word_of_a_setting_and_inherits_the_rest(tmp_path):
    base = Path("firmware_profiles/is15959_part2.toml").read_text(encoding="utf-8")
    (tmp_path / "is15959_part2.toml").write_text(base, encoding="utf-8")
    more = "[management.setting.load_limit]\nscaler = 3\n"
    (tmp_path / "make.toml").write_text(CHILD.format(more=more), encoding="utf-8")
    management = load_profile("make", tmp_path).management
    assert management is not None
    limit = management.settings[SettingName.LOAD_LIMIT]
    assert (limit.object, limit.scaler) == ("load_limit_normal", 3)
