"""XMP packets: who, what and how of a picture, in Unicode (ISO 16684-1; Dublin Core; IPTC; XMP Media Management)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "stRef": "http://ns.adobe.com/xap/1.0/sType/ResourceRef#",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "livemef": "https://livemef.org/ns/1.0/",
}
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DigitalSource = Literal["digitalCapture", "computationalCapture"]
"""IPTC's terms: one exposure as the camera gave it; several frames merged."""


@dataclass(frozen=True)
class XmpDescription:
    """What a packet says. Empty texts are left out.

    ingredients: (file name, document id) of each picture that this one was made of. own: livemef's properties.
    """

    identifier: str
    document_id: str
    source: DigitalSource
    tool: str
    title: str = ""
    creator: str = ""
    rights: str = ""
    ingredients: Sequence[tuple[str, str]] = ()
    own: Mapping[str, str] = field(default_factory=dict)


def xmp_packet(description: XmpDescription) -> bytes:
    """The packet, UTF-8."""
    spaces = "".join(f'\n    xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    simple = {
        "xmp:CreatorTool": description.tool,
        "xmpMM:DocumentID": description.document_id,
        "xmpMM:InstanceID": description.document_id,
        "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE + description.source,
        "dc:identifier": description.identifier,
    } | {f"livemef:{name}": value for name, value in description.own.items()}
    attributes = "".join(f"\n    {name}={quoteattr(value)}" for name, value in simple.items() if value)
    body = _alternative("dc:title", description.title) + _alternative("dc:rights", description.rights)
    if description.creator:
        body += f"   <dc:creator><rdf:Seq><rdf:li>{escape(description.creator)}</rdf:li></rdf:Seq></dc:creator>\n"
    if description.ingredients:
        items = "".join(
            f"<rdf:li stRef:filePath={quoteattr(name)} stRef:documentID={quoteattr(document)}/>"
            for name, document in description.ingredients
        )
        body += f"   <xmpMM:Ingredients><rdf:Bag>{items}</rdf:Bag></xmpMM:Ingredients>\n"
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        f'  <rdf:Description rdf:about=""{spaces}{attributes}>\n{body}'
        '  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="r"?>'
    ).encode()


def _alternative(name: str, text: str) -> str:
    if not text:
        return ""
    return f'   <{name}><rdf:Alt><rdf:li xml:lang="x-default">{escape(text)}</rdf:li></rdf:Alt></{name}>\n'
