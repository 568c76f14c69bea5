import argparse
import os
import typing
from pathlib import Path

import pytest

from mcp_server import settings
from vision.config import Settings
from vision.errors import ConfigError


def load(arguments: list[str], environment: dict[str, str] | None = None) -> Settings:
    parser = argparse.ArgumentParser()
    settings.add_flags(parser)
    return settings.load(parser.parse_args(arguments), environment or {})


def test_without_any_setting_the_defaults_hold(tmp_path: Path) -> None:
    assert load([], {"XDG_CONFIG_HOME": str(tmp_path)}) == Settings()


def test_a_flag_beats_the_environment_and_the_environment_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("max_pages = 1\nmax_frames = 1\ndecoders = 1\n")
    environment = {"INTERNVL_MCP_MAX_PAGES": "2", "INTERNVL_MCP_MAX_FRAMES": "2", "INTERNVL_MCP_CONFIG": str(file)}
    found = load(["--max-pages", "3"], environment)
    assert (found.max_pages, found.max_frames, found.decoders) == (3, 2, 1)


def test_the_file_is_found_in_the_settings_folder_by_itself(tmp_path: Path) -> None:
    (tmp_path / "internvl-mcp").mkdir()
    (tmp_path / "internvl-mcp" / "config.toml").write_text('roots = ["/data"]\n')
    assert load([], {"XDG_CONFIG_HOME": str(tmp_path)}).roots == (Path("/data"),)


def test_lists_come_from_repeated_flags_path_lists_and_commas(tmp_path: Path) -> None:
    assert load(["--root", "/a", "--root", "/b"]).roots == (Path("/a"), Path("/b"))
    environment = {"INTERNVL_MCP_ROOTS": os.pathsep.join(["/a", "/b"]), "INTERNVL_MCP_ALLOWED_HOSTS": "x.org, y.org"}
    found = load([], {**environment, "XDG_CONFIG_HOME": str(tmp_path)})
    assert found.roots == (Path("/a"), Path("/b"))
    assert found.allowed_hosts == ("x.org", "y.org")


def test_every_setting_has_a_flag_and_a_variable_that_set_it(tmp_path: Path) -> None:
    written = {str: "x.org", Path: "/x", int: "2501", float: "7.5", bool: "yes"}
    fitting = {"endpoints": "http://gpu:8000/v1", "endpoint_model": "a/b", "endpoint_key_file": key_file(tmp_path)}
    address = "https://x.org/mcp"
    fitting |= {"http_url": address, "oauth_issuer": address, "oauth_jwks_url": address}
    within_bounds = {
        "decoders": "3",
        "readers": "3",
        "max_frames": "3",
        "max_tiles": "3",
        "memory_fraction": "0.5",
    } | fitting
    for name, field in settings.settable().items():
        if typing.get_origin(field.annotation) is typing.Literal:
            text = typing.get_args(field.annotation)[-1]
        elif name in within_bounds:
            text = within_bounds[name]
        else:
            kinds = [kind for kind in written if kind.__name__ in str(field.annotation)]
            text = "no" if field.default is True else written[kinds[0]]
        flagged = getattr(load([settings.flag_of(name, field), text], {"XDG_CONFIG_HOME": str(tmp_path)}), name)
        variable = f"INTERNVL_MCP_{name.upper()}"
        varied = getattr(load([], {variable: text, "XDG_CONFIG_HOME": str(tmp_path)}), name)
        assert flagged == varied != field.default, name


def key_file(folder: Path, content: str = "sk-secret\n") -> str:
    path = folder / "key"
    path.write_text(content)
    return str(path)


def test_the_key_comes_from_the_environment_or_a_file_and_shows_nowhere(tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    varied = load([], {**home, "INTERNVL_MCP_ENDPOINT_KEY": "sk-secret"})
    filed = load(["--endpoint-key-file", key_file(tmp_path)], home)
    for found in (varied, filed):
        assert found.endpoint_key is not None and found.endpoint_key.get_secret_value() == "sk-secret"
        assert "sk-secret" not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"


def test_the_environment_s_key_beats_the_file_s(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "INTERNVL_MCP_ENDPOINT_KEY": "sk-other"}
    found = load(["--endpoint-key-file", key_file(tmp_path)], environment).endpoint_key
    assert found is not None and found.get_secret_value() == "sk-other"


def test_no_flag_takes_the_key_and_no_settings_file_holds_it(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        load(["--endpoint-key", "sk-secret"], {})
    file = tmp_path / "config.toml"
    file.write_text('endpoint_key = "sk-secret"')
    with pytest.raises(ConfigError) as caught:
        load(["--config", str(file)])
    assert "endpoint_key_file" in caught.value.hint and "sk-secret" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "two words", "sk-\x00", "sk-secret" * 1000, "schlüssel"])
def test_a_key_that_cannot_be_one_is_an_error_that_does_not_repeat_it(content: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(["--endpoint-key-file", key_file(tmp_path, content)], {"XDG_CONFIG_HOME": str(tmp_path)})
    assert not content or content not in f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}"


def test_an_address_without_a_path_gets_the_usual_one() -> None:
    given = ["http://gpu:8000", "http://gpu:8000/", "https://host/api/v2/"]
    found = load([part for url in given for part in ("--endpoint", url)], {})
    assert found.endpoints == ("http://gpu:8000/v1", "http://gpu:8000/v1", "https://host/api/v2")


@pytest.mark.parametrize(
    "url", ["gpu:8000", "ftp://gpu/v1", "http://", "http://gpu:99999999/v1", "http://me:pw-1@gpu/v1"]
)
def test_an_address_that_cannot_be_meant_is_an_error_that_repeats_no_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(["--endpoint", url], {})
    assert caught.value.message.startswith("endpoints") and caught.value.hint
    assert "pw-1" not in f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}"


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["--max-pages", "many"], {}, "max_pages"),
        (["--max-pages", "0"], {}, "max_pages"),
        ([], {"INTERNVL_MCP_MAX_PIXELS": "lots"}, "max_pixels"),
        (["--engine", "gpt"], {}, "engine"),
        ([], {"INTERNVL_MCP_MAX_PIXEL": "1"}, "INTERNVL_MCP_MAX_PIXEL"),
        (["--config", "/nowhere/at/all.toml"], {}, "all.toml"),
    ],
)
def test_a_bad_value_or_unknown_key_is_an_error_that_names_it(
    arguments: list[str], environment: dict[str, str], named: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(arguments, {**environment, "XDG_CONFIG_HOME": str(tmp_path)})
    assert named in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("name", ["INTERNVL_MCP_PYTHON", "INTERNVL_MCP_ENVIRONMENT"])
def test_a_variable_of_the_npm_launcher_is_nothing_to_the_server(name: str) -> None:
    assert load([], {name: "python3.12"}) == load([])


def test_an_unknown_key_in_the_settings_file_is_told_with_the_file_and_what_was_meant(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("max_page = 3\n")
    with pytest.raises(ConfigError) as caught:
        load(["--config", str(file)], {})
    assert str(file) in caught.value.message and caught.value.hint.startswith("Did you mean max_pages")


@pytest.mark.parametrize(("text", "named"), [("max_page = 3", "max_page"), ("max_pages = ", "TOML"), ("\xff", "")])
def test_a_broken_settings_file_is_an_error(text: str, named: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        load(["--config", str(file)])
    assert named in caught.value.message


@pytest.mark.parametrize("url", ["x.org", "ftp://x.org", "https://", "https://me:pw-1@x.org/", "https://x.org/#part"])
def test_an_address_for_clients_that_cannot_be_one_is_an_error_that_repeats_no_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(["--http-url", url], {})
    assert caught.value.message.startswith("http_url") and "pw-1" not in f"{caught.value.message} {caught.value.hint}"


def test_tokens_for_http_come_from_the_environment_or_a_file_and_show_nowhere(tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    varied = load([], {**home, "INTERNVL_MCP_HTTP_TOKENS": "alice sk-secret-0123456"})
    filed = load(["--http-tokens-file", key_file(tmp_path, "alice sk-secret-0123456\n")], home)
    for found in (varied, filed):
        assert (settings.http_tokens(found) or "").strip() == "alice sk-secret-0123456"
        assert "sk-secret" not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"
    assert settings.http_tokens(load([], home)) is None
    with pytest.raises(SystemExit):
        load(["--http-tokens", "sk-secret-0123456"], home)


@pytest.mark.parametrize("content", [None, "schlüssel-0123456789"])
def test_a_file_of_tokens_that_cannot_be_read_is_an_error_that_repeats_nothing(
    content: str | None, tmp_path: Path
) -> None:
    path = str(tmp_path / "sk-secret-as-a-path") if content is None else key_file(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        settings.http_tokens(load(["--http-tokens-file", path], {"XDG_CONFIG_HOME": str(tmp_path)}))
    told = f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}"
    assert "sk-secret" not in told and "schl" not in told
