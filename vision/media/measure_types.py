"""placeholder until measure lands"""
from vision.types import Frozen
class PictureFacts(Frozen):
    note: str = ""
