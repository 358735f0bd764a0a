"""Updates with python-tuf: update.py MIRROR ROOT"""
import sys

from tuf.ngclient import Updater

mirror, root = sys.argv[1:]
with open(root, "rb") as file:
    updater = Updater(metadata_dir="metadata", metadata_base_url=mirror, target_base_url=mirror + "/targets",
                      target_dir=".", bootstrap=file.read())
updater.refresh()
for name in ("trusted_root.json", "signing_config.v0.2.json", "rekor.pub", "ctfe.pub"):
    info = updater.get_targetinfo(name)
    updater.download_target(info, name)
    print(name, info.length)
