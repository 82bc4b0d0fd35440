"""Certificates of a test's own authority, made with openssl."""
import pathlib
import subprocess


class Authority:
    """Writes NAME.pem, and for what it issues NAME.key, into a directory."""

    def __init__(self, directory: pathlib.Path, name: str = "ca"):
        self.directory, self.name = directory, name
        self._openssl("req", "-x509", *self._new_key(name), "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN=test {name}")

    def issue(self, name: str, owner: str, alternatives: str = "", days: int = 2) -> None:
        """owner is the common name; alternatives as in "DNS:localhost,IP:127.0.0.1"."""
        self._openssl("req", *self._new_key(name), "-out", f"{name}.csr", "-subj", f"/CN={owner}")
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternatives}\n" if alternatives else "")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key",
                      "-CAcreateserial", "-days", str(days), "-extfile", extensions, "-out", f"{name}.pem")

    @staticmethod
    def _new_key(name: str) -> list[str]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"]

    def _openssl(self, *words) -> None:
        subprocess.run(["openssl", *map(str, words)], cwd=self.directory, check=True, capture_output=True)
