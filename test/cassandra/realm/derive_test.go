// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package realm

import (
	"strings"
	"testing"

	"github.com/gocql/gocql"
)

// The values are Astarte's own, from its tests and its manual.
func TestDerivation(t *testing.T) {
	t.Parallel()
	device, err := gocql.ParseUUID("41c1c072-d416-4686-ba23-673fe4ad926f")
	if err != nil {
		t.Fatal(err)
	}
	values := "org.astarte-platform.genericsensors.Values"
	for name, c := range map[string]struct{ got, want string }{
		"interface":                 {InterfaceID("astarte.is.cool", 10).String(), "d1f51a5a-b16f-ec89-8635-ed6186f715fe"},
		"interface of the manual":   {InterfaceID(values, 1).String(), "c238b244-b90f-4c6d-f276-25768bf6abac"},
		"endpoint":                  {EndpointID("com.foo", 1, "/test/foo").String(), "2fa301e3-8be7-dec9-2939-1852ea4c3d04"},
		"endpoint with underscore":  {EndpointID(values, 1, "/%{sensor_id}/value").String(), "33751412-3e77-ad1f-ad57-280cc9fad581"},
		"endpoint with parameter":   {EndpointID("com.foo", 10, "/a/%{something}/foo").String(), "207730dd-bdae-b488-f284-e80f2eb81b58"},
		"no endpoint":               {EndpointID("com.test.Sensors", 1, "").String(), "708b2cff-3865-1038-8854-ff322f225a30"},
		"table":                     {ObjectTable("com.ispirata.Hemera.DeviceLog", 1), "com_ispirata_hemera_devicelog_v1"},
		"table just not hashed":     {ObjectTable(values, 1), "org_astarteplatform_genericsensors_values_v1"},
		"table hashed":              {ObjectTable("org.astarte-platform.genericsensors.AvailableSensors", 0), "ahWeGzq_form_genericsensors_availablesensors_v0"},
		"table hashed with a plus":  {ObjectTable("com.example.averyveryverylonginterfacename.Number2", 1), "ao_N7ar_eryveryverylonginterfacename_number2_v1"},
		"column":                    {ObjectColumn("/%{x}/Temp"), "v_temp"},
		"column hashed":             {ObjectColumn("/this_is_a_quite_long_endpoint_name_that_is44"), "v_1XOzAu_s_a_quite_long_endpoint_name_that_is44"},
		"keyspace":                  {Keyspace("example", "atestinstance"), "atestinstanceexample"},
		"keyspace shortened":        {Keyspace("averyveryverylongrealmnamejustforthistest", "atestinstance"), "yxrlc3rpbnn0yw5jzwf2zxj5dmvyexzlcnlsb25ncmvhbg1u"},
		"keyspace without dashes":   {Keyspace("test", "My_Inst-1"), "myinst1test"},
		"keyspace of 48 characters": {Keyspace(strings.Repeat("a", 48), ""), strings.Repeat("ywfh", 12)},
		"device":                    {DeviceText(device), "QcHActQWRoa6I2c_5K2Sbw"},
		"device and interface":      {DeviceObject(device, InterfaceID(values, 1)).String(), "960fd7c5-5a31-5a60-9e39-3bf7e15a62ab"},
		"group and interface":       {GroupObject("mygroup", InterfaceID(values, 1)).String(), "c9d53ed9-c57a-56f5-8800-3ec9777af62c"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %s, want %s", name, c.got, c.want)
		}
	}
}
