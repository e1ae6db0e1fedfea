# Sourced by the scripts that need packages of Python: makes the virtual environment and sets python.
# requirements is the list of packages (default scripts/requirements.txt: PyTorch, transformers, TRL), VENV names the environment (default venv/, which
# git ignores). It is made where it is missing, and filled again where it was made of another list; needs Python 3.11 or later. The wheel of torch for Linux on x86-64 brings several GB of GPU libraries, which are not used.
requirements=${requirements:-scripts/requirements.txt}
venv=${VENV:-venv}
python=$venv/bin/python
if ! cmp -s "$requirements" "$venv/requirements.txt"; then
  echo "installing $requirements into $venv" >&2
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet -r "$requirements"
  cp "$requirements" "$venv/requirements.txt"
fi
# Nothing is looked up on a network, and no file is left beside the sources.
export CUDA_VISIBLE_DEVICES='' HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1
