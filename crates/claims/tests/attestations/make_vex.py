"""Makes the OpenVEX document beside this file: make_vex.py DIR, with lib4vex 0.2.3."""
import sys

from lib4sbom.data.vulnerability import Vulnerability
from lib4vex.generator import VEXGenerator

vulnerabilities = []
for name, status, justification, action in [
    ("CVE-2026-0001", "not_affected", "component_not_present", ""),
    ("CVE-2026-0002", "affected", "", "update to 1.2.4"),
    ("CVE-2026-0003", "fixed", "", ""),
    ("CVE-2026-0004", "under_investigation", "", ""),
]:
    vulnerability = Vulnerability(validation="openvex")
    vulnerability.initialise()
    vulnerability.set_id(name)
    vulnerability.set_name("release")
    vulnerability.set_release("1.2.3")
    vulnerability.set_status(status)
    if justification:
        vulnerability.set_value("justification", justification)
    if action:
        vulnerability.set_value("comment", action)
    vulnerabilities.append(vulnerability.get_vulnerability())
generator = VEXGenerator(vex_type="openvex", author="Alice")
generator.set_product(name="release", release="1.2.3")
generator.generate(project_name="release", vex_data=vulnerabilities, metadata={"id": "release"}, filename=sys.argv[1] + "/openvex.json")
