"""The style beside a map: what QGIS's paletted renderer reads, whatever the classes are called."""

from xml.etree import ElementTree

from omnifuse.classes import ClassTable
from omnifuse.inference.qgis import qgis_style


def test_every_class_has_its_color_and_its_name():
    names = ("void", 'grass & "herbs"', "<5 % trees", "forêt d'Eu\n")
    style = ElementTree.fromstring(qgis_style(ClassTable(names, ("#000000", "#55aa33", "#ddbb55", "#0000ff"))))
    renderer = style.find("pipe/rasterrenderer")
    assert renderer is not None and (renderer.get("type"), renderer.get("band")) == ("paletted", "1")
    found = [(entry.get("value"), entry.get("color"), entry.get("label")) for entry in renderer.iterfind("colorPalette/paletteEntry")]
    assert found == [("0", "#000000", names[0]), ("1", "#55aa33", names[1]), ("2", "#ddbb55", names[2]), ("3", "#0000ff", names[3])]
