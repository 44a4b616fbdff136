/** The parts of ECharts the page uses, loaded lazily by `composables/useChart`. */
import { LineChart } from 'echarts/charts';
import { GridComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { CanvasRenderer } from 'echarts/renderers';

use([LineChart, GridComponent, CanvasRenderer]);

export { init };
export type { EChartsType } from 'echarts/core';
