"""What a client may leave out of a list: the record of the fields' owners, and nothing that only looks like it."""

from __future__ import annotations

from kapi.resources import CONFIG_MAPS
from kapi.testing import serving


async def test_a_list_may_be_had_without_the_owners_of_fields() -> None:
    data = {"managedFields": "one's own"}
    async with serving() as served:
        await served.http.create(CONFIG_MAPS, {"metadata": {"name": "c"}, "data": data}, "default")
        (whole, lean) = [(await served.http.list(CONFIG_MAPS, "default", owners=each)).items for each in (True, False)]
    assert "managedFields" in whole[0]["metadata"]
    del whole[0]["metadata"]["managedFields"]
    assert lean == whole
    assert lean[0]["data"] == data
