"""The loader: strict about every key, told by file and key; inheritance that can be followed."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigError, ConfigErrors, UsageError
from gateway.model import CaptureObject, Obis, ProfileKind
from gateway.profile import (
    Association,
    FirmwareProfile,
    Match,
    Quirk,
    Time,
    load_profile,
    load_profile_file,
    load_profiles,
    matches_overlap,
    matching,
)
from gateway.profile.agreement import STATED
from gateway.profile.matching import patterns_meet

BASE = """
description = "a base"
[association.public]
client = 16
[association.reader]
client = 32
authentication = "lls"
secret = "lls_password"
[time]
zone_minutes = 330
deviation_sign = -1
[quirks]
no_release = "the meter answers RLRQ with silence"
[[object]]
name = "clock"
class_id = 8
obis = "0-0:1.0.0*255"
[[profile_generic]]
kind = "daily_load"
obis = "1-0:99.2.0*255"
access = "range"
stamp = "instant"
depth_rows = 70
columns = [
  { name = "clock", class_id = 8, obis = "0-0:1.0.0*255" },
  { name = "energy_import_wh", class_id = 3, obis = "1-0:1.8.0*255" },
]
[events.power]
101 = "power failure"
[[capture]]
what = "relay"
provenance = "synthetic"
source = "made up"
octets = "09 0C 07E9 07 17 03 08 1E 18 FF 014A 00"
values = [{ of = "clock", expect = "2025-07-23T08:30:24+05:30" }]
"""


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


def faults(folder: Path, name: str = "meter") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_profile(name, folder)
    errors = caught.value.errors if isinstance(caught.value, ConfigErrors) else [caught.value]
    return [str(error) for error in errors]


def test_what_a_profile_says_is_found_by_name(tmp_path: Path) -> None:
    profile = load_profile("meter", write(tmp_path, meter=BASE))
    assert (profile.name, profile.inherits, profile.match) == ("meter", (), None)
    assert profile.association("reader").client == 32
    assert profile.attribute("clock").source == CaptureObject(8, Obis.parse("0-0:1.0.0*255"), 2)
    assert profile.profile_generic(ProfileKind.DAILY_LOAD).depth_rows == 70
    assert dict(profile.quirks) == {Quirk.NO_RELEASE: "the meter answers RLRQ with silence"}
    assert profile.events["power"][101] == "power failure"
    energy = CaptureObject(3, Obis.parse("1-0:1.8.0*255"), 2)
    assert profile.name_of(energy) == "energy_import_wh"
    assert profile.name_of(CaptureObject(3, Obis.parse("1-0:1.8.0*255"), 3)) is None


def test_asking_for_what_is_not_there_names_what_is(tmp_path: Path) -> None:
    profile = load_profile("meter", write(tmp_path, meter=BASE))
    with pytest.raises(UsageError, match=r"it has public, reader; did you mean 'reader'\?"):
        profile.association("readers")
    with pytest.raises(UsageError, match="it has daily_load"):
        profile.profile_generic(ProfileKind.EVENTS, "voltage")
    with pytest.raises(UsageError, match="it has clock"):
        profile.attribute("relay")


def test_a_loaded_profile_cannot_be_changed(tmp_path: Path) -> None:
    profile = load_profile("meter", write(tmp_path, meter=BASE))
    with pytest.raises(AttributeError):
        profile.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        profile.associations["x"] = profile.association("public")  # type: ignore[index]


def test_the_child_wins_and_the_rest_is_the_bases(tmp_path: Path) -> None:
    child = """
    inherit = "base"
    description = "a make"
    [match]
    manufacturer = ["Maker*"]
    [association.reader]
    ciphering = "both"
    encryption_key = "guek"
    authentication_key = "gak"
    counter = "0-0:43.1.2*255"
    [quirks]
    trailing_octets = "two octets 00 00 behind each answer"
    [[object]]
    name = "relay"
    class_id = 70
    obis = "0-0:96.3.10*255"
    [[profile_generic]]
    kind = "daily_load"
    depth_rows = 45
    [events.power]
    102 = "power restored"
    """
    profile = load_profile("meter", write(tmp_path, base=BASE, meter=child))
    assert profile.inherits == ("base",)
    reader = profile.association("reader")
    assert (reader.client, reader.authentication, reader.ciphering) == (32, "lls", "both")
    assert set(profile.quirks) == {Quirk.NO_RELEASE, Quirk.TRAILING_OCTETS}
    assert [entry.name for entry in profile.objects] == ["clock", "relay"]
    daily = profile.profile_generic(ProfileKind.DAILY_LOAD)
    assert (daily.depth_rows, len(daily.columns)) == (45, 2)
    assert set(profile.events["power"]) == {101, 102}
    assert profile.captures == ()
    assert load_profile("base", tmp_path).association("reader").ciphering == "none"


def test_three_generations_name_the_nearest_first(tmp_path: Path) -> None:
    write(tmp_path, base=BASE, make='inherit = "base"\ndescription = "m"')
    write(tmp_path, meter='inherit = "make"\ndescription = "f"')
    assert load_profile("meter", tmp_path).inherits == ("make", "base")


WRONG = [
    ('colour = "red"', "meter.toml: colour = '(not shown)': unknown key; allowed are association"),
    ("[link]\nwindows = 1", "meter.toml: link.windows", "did you mean 'window'?"),
    ("[link]\nwindow = 8", "meter.toml: link.window = 8: must be less than or equal to 7"),
    ('[link]\nwindow = "1"', "meter.toml: link.window = '1': must be a valid integer"),
    ("[link]\nwindow = 1.0", "meter.toml: link.window", "integer"),
    ("[link]\nwindow = true", "meter.toml: link.window", "integer"),
    ("[link]\nwindow = 2025-01-01", "meter.toml: link.window", "integer"),
    ("[link]\nserver_lower = 17", "meter.toml: link = '(a table)'", "no place"),
    ("[quirks]\nno_relese = 'typing'", "meter.toml: quirks.no_relese", "mean 'no_release'?"),
    ("[quirks]\nno_release = ''", "meter.toml: quirks.no_release", "at least 1 character"),
    ("[association.x]\nclient = 200", "meter.toml: association.x.client = 200", "equal to 127"),
    ("[association.x]\nclient = 1\nauthentication = 'hls'", "x.authentication = 'hls'", "'hls2'?"),
    ("[association.x]\nclient = 1\nauthentication = 'lls'", "association.x", "needs secret"),
    ("[association.x]\nclient = 1\nciphering = 'both'", "association.x", "needs encryption_key"),
    (
        "[association.x]\nclient = 1\ndedicated_ciphering = true",
        "association.x",
        "dedicated_ciphering needs an AARQ, and a ciphering that encrypts it",
    ),
    (
        "[association.x]\nclient = 1\ngeneral_block_window = 64",
        "association.x.general_block_window = 64",
        "less than or equal to 63",
    ),
    ("[association.x]\nclient = 1\nsecret = '31323334'", "association.x.secret", "must be "),
    ("[association.x]\nciphering = 'none'", "association.x.client = '(missing)'", "required"),
    (
        "[[object]]\nname = 'e'\nclass_id = 3\nobis = '1.8.0'",
        "meter.toml: object[1 e].obis = '1.8.0': not an OBIS code: '1.8.0' (write 1-0:1.8.0*255)",
    ),
    ("[[object]]\nname = 'e'\nclass_id = 3\nobis = 180", "object[1 e].obis = 180: must be a text"),
    ("[[object]]\nname = 'clock'\nclass_id = 'eight'", "object[0 clock].class_id = 'eight'"),
    (
        "[[profile_generic]]\nkind = 'daily_lode'",
        "profile_generic[1 daily_lode].kind",
        "'daily_load'?",
    ),
    (
        (
            "[[profile_generic]]\nkind = 'billing'\nlog = 'voltage'\nobis = '1-0:98.1.0*255'\n"
            "access = 'entry'\nstamp = 'instant'\ndepth_rows = 13\n"
            "columns = [{ name = 'clock', class_id = 8, obis = '0-0:1.0.0*255' }]"
        ),
        "meter.toml: profile_generic[1 voltage] = '(a table)'",
        "event log",
    ),
    ("[events.power]\nmany = 'x'", "events.power.many", "integer"),
    ("[events.other]\n101 = 'again'", "meter.toml: events = '101': must stand once"),
    ("[relay]\ndisconnect_control = '0-0:96.3.10*255'\nassociation = 'us'", "public, reader"),
    (
        (
            "[[capture]]\nwhat = 'w'\nprovenance = 'synthetic'\nsource = 's'\noctets = '1G'\n"
            "values = [{ of = 'clock', expect = '1' }]"
        ),
        "capture[0].octets = '1G'",
        "hexadecimal",
    ),
    (
        (
            "[[capture]]\nwhat = 'w'\nprovenance = 'synthetic'\nsource = 's'\noctets = '1100'\n"
            "values = [{ of = 'clok', expect = '1' }]"
        ),
        "capture[0].values[0].of = 'clok'",
        "did you mean 'clock'?",
    ),
    (
        (
            "[[capture]]\nwhat = 'w'\nprofile = 'billing'\nprovenance = 'synthetic'\nsource = 's'\n"
            "octets = '1100'\nvalues = [{ of = 'clock', expect = '1' }]"
        ),
        "capture[0].profile = 'billing': must be one of daily_load",
    ),
    ("name = 'meter'", "meter.toml: name", "file's name"),
    ("inherits = ['x']", "meter.toml: inherits", "inherit say it"),
    ("[link\n", "meter.toml: (file)", "valid TOML", "line 3"),
    ("description = 'twice'", "meter.toml: (file)", "valid TOML"),
]


@pytest.mark.parametrize(("text", "says"), [(wrong[0], wrong[1:]) for wrong in WRONG])
def test_a_fault_names_file_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, says: tuple[str, ...]
) -> None:
    head, _, tail = text.partition("[")
    child = f'inherit = "base"\ndescription = "d"\n{head}{"[" + tail if tail else ""}'
    told = "\n".join(faults(write(tmp_path, base=BASE, meter=child)))
    assert all(part in told for part in says), told


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    text = BASE + "[link]\nwindow = 9\ninfo_field_octets = 1\nbaud = 9600\n"
    told = faults(write(tmp_path, meter=text))
    assert len(told) == 3
    assert {line.split(" = ")[0] for line in told} == {
        "meter.toml: link.window",
        "meter.toml: link.info_field_octets",
        "meter.toml: link.baud",
    }


def test_a_secret_under_a_key_that_does_not_belong_is_not_repeated(tmp_path: Path) -> None:
    text = BASE + "[link]\nguek = '000102030405060708090A0B0C0D0E0F'\n"
    text += "[association.x]\nclient = 1\nsecret = '000102030405060708090A0B0C0D0E0F'\n"
    assert "0001020304" not in "\n".join(faults(write(tmp_path, meter=text)))


def test_a_fault_of_the_base_is_told_as_the_bases(tmp_path: Path) -> None:
    write(tmp_path, base=BASE + "[link]\nwindow = 9\n")
    told = faults(write(tmp_path, meter='inherit = "base"\ndescription = "d"'))
    assert len(told) == 1
    assert told[0].startswith("base.toml: link.window = 9")


def test_inheritance_in_a_circle_is_refused_and_shown(tmp_path: Path) -> None:
    for name, base in (("meter", "make"), ("make", "base"), ("base", "meter")):
        write(tmp_path, **{name: f'inherit = "{base}"\ndescription = "d"'})
    assert faults(tmp_path) == [
        "base.toml: inherit = 'meter': must not lead back: meter -> make -> base -> meter"
    ]


@pytest.mark.parametrize("base", ["bass", "../base", "", "BASE", "/etc/passwd", "base.toml"])
def test_a_base_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path, base: str) -> None:
    write(tmp_path, base=BASE, meter=f'inherit = "{base}"\ndescription = "d"')
    (told,) = faults(tmp_path)
    assert told.startswith(f"meter.toml: inherit = {base!r}: must be one of base, meter")


def test_inherit_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (told,) = faults(write(tmp_path, meter="inherit = ['base']\ndescription = 'd'"))
    assert "must be the name of a profile" in told


def test_a_profile_or_folder_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be one of meter"):
        load_profile("metre", write(tmp_path, meter=BASE))
    with pytest.raises(ConfigError, match="readable folder"):
        load_profile("meter", tmp_path / "none")


@pytest.mark.parametrize("octets", [b"\xff\xfe", b"a=" + b"[" * 50_000, b"a." * 5_000 + b"a=1"])
def test_a_file_that_is_no_toml_is_a_typed_error(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / "meter.toml").write_bytes(octets)
    assert faults(tmp_path)


def test_a_file_larger_than_any_profile_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "meter.toml").write_bytes(b"#" * (1 << 21))
    assert "at most 1048576 octets" in faults(tmp_path)[0]


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_junk_in_a_profile_ends_in_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("junk")
    (folder / "meter.toml").write_bytes(junk)
    with pytest.raises(ConfigError):
        load_profile("meter", folder)


CLAIM = 'inherit = "base"\ndescription = "d"\n[match]\n'


def test_two_profiles_that_claim_one_meter_are_refused(tmp_path: Path) -> None:
    write(tmp_path, base=BASE, one=CLAIM + 'manufacturer = ["Gen*"]\nfirmware = ["1.*"]')
    write(tmp_path, two=CLAIM + 'manufacturer = ["*us"]')
    with pytest.raises(ConfigErrors, match=r"one\.toml: match = 'overlaps two\.toml'"):
        load_profiles(tmp_path)
    write(tmp_path, two=CLAIM + 'manufacturer = ["*us"]\nfirmware = ["2.*"]')
    assert set(load_profiles(tmp_path)) == {"base", "one", "two"}


def test_a_profile_may_claim_meters_of_the_one_it_is_built_on(tmp_path: Path) -> None:
    write(tmp_path, base=BASE + "[match]\nmeter_type = [6]")
    write(tmp_path, one=CLAIM + 'meter_type = [6]\nmanufacturer = ["Gen*"]')
    assert set(load_profiles(tmp_path)) == {"base", "one"}


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a*", "*b", True),
        ("a*c", "a?", True),
        ("a*c", "b*", False),
        ("?", "", False),
        ("*", "", True),
        ("**", "*", True),
        ("ab*ba", "aba", False),
        ("x*y*z", "*y", False),
        ("1.?.4", "1.0.*", True),
        ("*.2", "1.?", True),
    ],
)
def test_two_patterns_meet_when_some_text_fits_both(one: str, other: str, meet: bool) -> None:
    assert patterns_meet(one, other) is meet
    assert patterns_meet(other, one) is meet


def fits(pattern: str, text: str) -> bool:
    """The plain meaning of a pattern, by trying."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(fits(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and fits(pattern[1:], text[1:])


TEXTS = ["".join(text) for length in range(7) for text in product("ab", repeat=length)]
PATTERN = st.text("ab?*", max_size=3)


@given(PATTERN, st.sampled_from(TEXTS))
@settings(max_examples=200)
def test_a_text_fits_a_pattern_as_trying_shows(pattern: str, text: str) -> None:
    assert matching.fits(pattern, text) == fits(pattern, text)


@given(PATTERN, PATTERN)
@settings(max_examples=200)
def test_patterns_meet_exactly_when_trying_all_short_texts_finds_one(one: str, other: str) -> None:
    assert patterns_meet(one, other) == any(fits(one, t) and fits(other, t) for t in TEXTS)


def test_an_empty_match_claims_every_meter() -> None:
    assert matches_overlap(Match(), Match(firmware=("1.*",)))
    assert not matches_overlap(Match(meter_type=(6,)), Match(meter_type=(7,)))


def test_a_profile_can_be_made_in_code_by_its_field_names() -> None:
    profile = FirmwareProfile(
        name="generic",
        description="what a command line says",
        associations={"reader": Association(client=32)},
        time=Time(zone_minutes=330, deviation_sign=1),
    )
    assert profile.association("reader").authentication == "none"
    assert (profile.quirks, profile.objects, profile.link.window) == ({}, (), 1)


# -- leaving out, quirks that words carry out, files ----------------------------------------------


def test_a_child_leaves_out_tables_keys_and_entries_of_its_base(tmp_path: Path) -> None:
    child = """
    inherit = "base"
    without = ["quirks.no_release", "object.clock", "events.power", "profile_generic.daily_load"]
    description = "a make"
    """
    profile = load_profile("meter", write(tmp_path, base=BASE, meter=child))
    assert (profile.quirks, profile.objects, profile.events) == ({}, (), {})
    assert profile.profile_generics == ()
    whole = load_profile("base", tmp_path)
    assert whole.quirks
    assert whole.objects


def test_a_place_may_lie_deeper(tmp_path: Path) -> None:
    child = 'inherit = "base"\nwithout = ["events.power.101"]\ndescription = "d"\n'
    child += '[events.power]\n102 = "power restored"\n'
    profile = load_profile("meter", write(tmp_path, base=BASE, meter=child))
    assert set(profile.events["power"]) == {102}


@pytest.mark.parametrize(
    ("places", "says"),
    [
        ('["events.power.999"]', "must be what the base has: 101"),
        ('["quirks.no_relese"]', "must be what the base has: no_release; did you mean"),
        ('["relay"]', "must be what the base has: description, association"),
        ('["object.relay"]', "must be what the base has: clock"),
        ('["description.x"]', "must be what the base has"),
        ('"quirks"', "must be a list of places of the base"),
        ("[1]", "must be a list of places of the base"),
    ],
)
def test_what_the_base_does_not_have_cannot_be_left_out(
    tmp_path: Path, places: str, says: str
) -> None:
    child = f'inherit = "base"\nwithout = {places}\ndescription = "d"'
    (told,) = faults(write(tmp_path, base=BASE, meter=child))
    assert told.startswith("meter.toml: without = ")
    assert says in told


def test_a_profile_without_a_base_leaves_nothing_out(tmp_path: Path) -> None:
    (told,) = faults(write(tmp_path, meter='without = ["relay"]\n' + BASE))
    assert "must be what the base has: nothing" in told


BLOCK = """
[[profile_generic]]
kind = "block_load"
obis = "1-0:99.1.0*255"
cadence_s = 900
access = "range"
stamp = "end"
depth_rows = 96
columns = [{ name = "clock", class_id = 8, obis = "0-0:1.0.0*255" }]
"""
EXPORT_FIRST = """
[[profile_generic]]
kind = "daily_load"
columns = [
  { name = "energy_export_wh", class_id = 3, obis = "1-0:2.8.0*255" },
  { name = "energy_import_wh", class_id = 3, obis = "1-0:1.8.0*255" },
]
"""
MIRROR = """
[display]
amount_unit = "unknown"
objects = [{ name = "balance", class_id = 1, obis = "0-0:94.91.24*255" }]
"""
STATED_WORDS = [
    ("positive_deviation", "[time]\ndeviation_sign = 1"),
    ("deviation_not_believed", "[time]\nuse_deviation = false"),
    ("stamp_at_start", BLOCK.replace('"end"', '"start"')),
    ("range_refused", BLOCK.replace('"range"', '"entry"')),
    ("export_columns_first", EXPORT_FIRST),
    ("unlisted_capture_object", BLOCK.replace('*255" }]', '*255", unlisted = true }]')),
    ("prepaid_family_94_91", MIRROR),
]


@pytest.mark.parametrize(("quirk", "words"), STATED_WORDS)
def test_a_deviation_and_its_reason_stand_together_or_not_at_all(
    tmp_path: Path, quirk: str, words: str
) -> None:
    head = 'inherit = "base"\ndescription = "d"\n'
    reason = f'[quirks]\n{quirk} = "seen"\n'
    profile = load_profile("meter", write(tmp_path, base=BASE, meter=head + words + "\n" + reason))
    assert profile.quirks[Quirk(quirk)] == "seen"
    (told,) = faults(write(tmp_path, meter=head + words))
    assert told.startswith(f"meter.toml: quirks.{quirk} = '(missing)': gives the reason for ")
    (told,) = faults(write(tmp_path, meter=head + reason))
    assert told.startswith(f"meter.toml: quirks.{quirk} = '(given)': goes with ")


def test_every_stated_quirk_is_tried_here() -> None:
    assert {quirk for quirk, _ in STATED_WORDS} == {quirk.value for quirk in STATED}


def test_a_file_of_its_own_builds_on_what_is_shipped_and_on_what_lies_beside_it(
    tmp_path: Path,
) -> None:
    write(tmp_path, beside='inherit = "is15959_part2_single_phase"\ndescription = "b"')
    write(tmp_path, mine='inherit = "beside"\ndescription = "m"')
    profile = load_profile_file(tmp_path / "mine.toml")
    assert profile.inherits[:2] == ("beside", "is15959_part2_single_phase")
    for path in (tmp_path / "mine", tmp_path / "none.toml"):
        with pytest.raises(ConfigError):
            load_profile_file(path)


def test_a_file_goes_before_a_shipped_one_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, is15959_part2=BASE)
    assert load_profile("is15959_part2", tmp_path).description == "a base"
    assert load_profile("is15959_part2").description != "a base"
