"""A style that QGIS takes up with a raster of the same name: classes by name and color.

QGIS shows the colors of a raster's color table by itself, but numbers in place of names: it reads no category names.
"""

from xml.sax.saxutils import quoteattr

from omnifuse.classes import ClassTable


def qgis_style(classes: ClassTable) -> str:
    """Return the content of `<map>.qml`: a paletted renderer of the first band, with the names of the classes as labels."""
    rows = "\n".join(
        f'        <paletteEntry value="{value}" color={quoteattr(color)} alpha="255" label={quoteattr(name)}/>'
        for value, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True))
    )
    return f"""<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.16.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
{rows}
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
"""
